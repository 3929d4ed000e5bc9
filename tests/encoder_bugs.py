"""Deliberate bugs in what encodes, measures and displays, each one a small change of its source, and the tests that
have to catch it.

They stand where tests were thin: most of them once went unnoticed. ``tools/plant_bugs.py`` plants them one at a time.
"""

from __future__ import annotations

import dataclasses

from decoder_bugs import Bug


@dataclasses.dataclass(frozen=True)
class EncoderBug(Bug):
    """A change of one place.

    Attributes:
        tests: test files or functions, one of which has to fail.
    """

    tests: tuple[str, ...]


ENCODE_CONFIG = "encoding/encode_config.py"
ENCODE_JOB = "encoding/encode_job.py"
LAYER_JOB = "encoding/layer_job.py"
FIT_MEMORY = "encoding/fit_memory.py"
SIZING = "encoding/sizing.py"
SIZE_TARGET = "encoding/size_target.py"
QUALITY_TARGET = "encoding/quality_target.py"
ASSEMBLY = "encoding/assembly.py"
CLIP_HEADER = "encoding/clip_header.py"
SHAPE_SOLVER = "encoding/model/shape_solver.py"
SKIP_CONNECTION = "encoding/model/skip_connection.py"
BUILDER = "encoding/export/operation_builder.py"
LEARNED_STEPS = "encoding/quantizer/learned_steps.py"
BUDGET = "encoding/fit/budget.py"
CHECKPOINT = "encoding/fit/checkpoint.py"
FIT = "encoding/fit/fit.py"
FIT_LOOP = "encoding/fit/fit_loop.py"
FIT_STATE = "encoding/fit/fit_state.py"
FRAME_SAMPLER = "encoding/fit/frame_sampler.py"
JOINT_FIT = "encoding/fit/joint_fit.py"
LOSSES = "encoding/fit/losses.py"
MUON = "encoding/fit/muon.py"
OPTIMISERS = "encoding/fit/optimisers.py"
RATE_CONTROL = "encoding/fit/rate_control.py"
WARM_START = "encoding/fit/warm_start.py"
CLI_MAIN = "cli/main.py"
CLI_OPTIONS = "cli/options.py"
MEASUREMENT = "bench/measurement.py"
BD = "bench/bd.py"
CHART = "bench/chart.py"
METRICS = "metrics.py"
MOTION = "video/motion.py"
SINKS = "video/sinks.py"
TRANSFORM = "video/transform.py"
DECODED_VIDEO = "decoding/decoded_video.py"
CONCEALMENT = "decoding/concealment.py"
PAYLOADS = "format/payloads.py"
TIMELINE = "decoding/timeline.py"
CHUNKS = "format/entropy/chunks.py"
LIMITS = "format/limits.py"

RATE_TESTS = ("tests/encoding/test_rate_control.py",)
BUDGET_TESTS = ("tests/encoding/test_budget.py",)
SIZING_TESTS = ("tests/encoding/test_sizing.py",)
TARGET_TESTS = ("tests/encoding/test_targets.py",)
MUON_TESTS = ("tests/encoding/test_muon.py",)
CONFIG_TESTS = ("tests/encoding/test_encode_config.py",)
JOB_TESTS = ("tests/encoding/test_encode_job.py",)
STATE_TESTS = ("tests/encoding/test_fit_state.py",)
BUILDER_TESTS = ("tests/encoding/test_operation_builder.py",)

#: Options and their meaning.
OPTIONS = [
    EncoderBug(
        "--lambda: above 20 dB allowed",
        ENCODE_CONFIG,
        "if not 0 <= self.rd_lambda <= MAX_LAMBDA_DB:",
        "if not 0 <= self.rd_lambda:",
        CONFIG_TESTS,
    ),
    EncoderBug(
        "grids: a share above 1",
        ENCODE_CONFIG,
        "if not 0 <= self.grids <= 1:",
        "if not 0 <= self.grids <= 2:",
        CONFIG_TESTS,
    ),
    EncoderBug(
        "two targets at once",
        ENCODE_CONFIG,
        "(self.target_size, self.bitrate, self.target_psnr)) > 1",
        "(self.target_size, self.bitrate, self.target_psnr)) > 2",
        CONFIG_TESTS,
    ),
    EncoderBug(
        "layers with a bit rate",
        ENCODE_CONFIG,
        "bool(sizes) or self.bitrate is not None or self.target_psnr is not None",
        "bool(sizes) or self.target_psnr is not None",
        CONFIG_TESTS,
    ),
    EncoderBug(
        "joint and resume",
        ENCODE_CONFIG,
        "or self.onto is not None or self.resume)",
        "or self.onto is not None)",
        CONFIG_TESTS,
    ),
    EncoderBug(
        "bit rate in bytes", ENCODE_CONFIG, "self.bitrate * seconds / 8", "self.bitrate * seconds", CONFIG_TESTS
    ),
    EncoderBug(
        "a quality has the shortest preset",
        ENCODE_CONFIG,
        "max(PRESETS.values()) if longest",
        "min(PRESETS.values()) if longest",
        CONFIG_TESTS,
    ),
    EncoderBug(
        "short clips are not seen more often",
        ENCODE_CONFIG,
        "max(DEFAULT_EPOCHS * frames, min(DEFAULT_MIN_STEPS, DEFAULT_MAX_EPOCHS * frames))",
        "DEFAULT_EPOCHS * frames",
        CONFIG_TESTS,
    ),
    EncoderBug("k is 1024", ENCODE_CONFIG, '"k": 1_000', '"k": 1_024', CONFIG_TESTS),
    EncoderBug(
        "a message of the library reaches the command line as it is",
        CLI_MAIN,
        "return _fail(_with_flags(str(error), context), error.exit_code)",
        "return _fail(str(error), error.exit_code)",
        CONFIG_TESTS,
    ),
]

#: The order of an encode.
JOBS = [
    EncoderBug(
        "time shares: every layer the same",
        ENCODE_JOB,
        "sizes[0] / sum(size or 0 for size in sizes) if sizes[0] else 1.0",
        "1 / len(sizes)",
        JOB_TESTS,
    ),
    EncoderBug(
        "time spent is forgotten",
        ENCODE_JOB,
        "(1 - JOINT_SHARE if self.config.joint else 1) - self.clock.total",
        "(1 - JOINT_SHARE if self.config.joint else 1)",
        JOB_TESTS,
    ),
    EncoderBug(
        "no time is kept for the joint fit",
        ENCODE_JOB,
        "self.config.time_limit * (1 - JOINT_SHARE if self.config.joint else 1)",
        "self.config.time_limit",
        JOB_TESTS,
    ),
    EncoderBug(
        "every layer is resumed",
        ENCODE_JOB,
        "if self.config.resume and number == 0 else None",
        "if self.config.resume else None",
        JOB_TESTS,
    ),
    EncoderBug(
        "enhancement layers start from init", ENCODE_JOB, "init=None if lower_layers else init", "init=init", JOB_TESTS
    ),
    EncoderBug(
        "layers stand on the first one",
        ENCODE_JOB,
        "            lower_layers = self.files[-1][0].data\n        return jobs",
        "            lower_layers = self.files[0][0].data\n        return jobs",
        JOB_TESTS,
    ),
    EncoderBug(
        "the source may be overwritten", ENCODE_JOB, "if is_same_file(output, self.source):", "if False:", JOB_TESTS
    ),
    EncoderBug(
        "a moving clip counts as still",
        ENCODE_JOB,
        "change(clip.frames) < MAX_STILL_CHANGE",
        "change(clip.frames) >= 0",
        JOB_TESTS,
    ),
    EncoderBug(
        "a ladder has the network of its largest file",
        LAYER_JOB,
        "round(math.sqrt(max(task.target_bytes) * min(task.target_bytes)))",
        "max(task.target_bytes)",
        JOB_TESTS,
    ),
    EncoderBug(
        "an enhancement layer with an invertible connection",
        LAYER_JOB,
        'direct = reference is not None and config.skip == "invertible"',
        "direct = False",
        JOB_TESTS,
    ),
    EncoderBug(
        "the files of a ladder continue from each other",
        LAYER_JOB,
        "            shared.restore(self.fit)\n            ladder.append",
        "            ladder.append",
        JOB_TESTS,
    ),
    EncoderBug(
        "trim off: bytes that a quality does not need stay",
        LAYER_JOB,
        "if self.parameters is None and not stop():",
        "if False:",
        ("tests/encoding/test_target.py::test_what_a_quality_does_not_need_is_saved",),
    ),
    EncoderBug(
        "memory check off",
        FIT_MEMORY,
        "if needed > max_memory:",
        "if False:",
        ("tests/video/test_frames.py::test_too_little_memory",),
    ),
]

#: Sizes of networks.
SIZES = [
    EncoderBug(
        "expected bits: as if bytes did not count", SIZING, "counts = int(rd_lambda > 0)", "counts = 0", SIZING_TESTS
    ),
    EncoderBug(
        "expected bits: latents of one frame",
        SIZING,
        "frames * shape.latents_per_frame",
        "shape.latents_per_frame",
        SIZING_TESTS,
    ),
    EncoderBug(
        "grids of any share",
        SIZING,
        "if not shape.feature_grid_values or bits.network",
        "if True or bits.network",
        SIZING_TESTS,
    ),
    EncoderBug(
        "the network's share does not grow with scarcity",
        SIZING,
        "MIN_NETWORK_SHARE * scarcity**SCARCITY_EXPONENT",
        "MIN_NETWORK_SHARE",
        SIZING_TESTS,
    ),
    EncoderBug(
        "scarcity upside down",
        SIZING,
        "AMPLE_BITS_PER_PIXEL / bits_per_pixel",
        "bits_per_pixel / AMPLE_BITS_PER_PIXEL",
        SIZING_TESTS,
    ),
    EncoderBug(
        "a quality never takes a larger network",
        SIZING,
        "min(MAX_SIZE_OCTAVES, max(0.0, octaves))",
        "min(0.0, max(0.0, octaves))",
        SIZING_TESTS,
    ),
    EncoderBug(
        "the probe takes as long as the fit",
        SIZING,
        "round(PROBE_STEPS_SHARE * (options.steps or 1))",
        "round(options.steps or 1)",
        SIZING_TESTS,
    ),
    EncoderBug(
        "solver error: only too large counts",
        SHAPE_SOLVER,
        "return abs(shape.parameters(self.frames) - self.size) / self.size",
        "return (shape.parameters(self.frames) - self.size) / self.size",
        ("tests/encoding/test_shape.py::test_size_is_met",),
    ),
    EncoderBug(
        "f takes what it wants",
        SHAPE_SOLVER,
        "too_many = features > MAX_SKIP_FEATURE_SHARE * self.size",
        "too_many = False",
        ("tests/encoding/test_shape.py::test_features_are_a_small_share",),
    ),
]

#: Budget, schedule and progress.
BUDGET_BUGS = [
    EncoderBug(
        "progress: PSNR doubled", FIT_LOOP, "-10 * clamped.log10().mean()", "-20 * clamped.log10().mean()", BUDGET_TESTS
    ),
    EncoderBug(
        "progress: no time for writing",
        FIT_LOOP,
        "budget.seconds_per_step * steps_left + budget.finishing_seconds",
        "budget.seconds_per_step * steps_left",
        BUDGET_TESTS,
    ),
    EncoderBug(
        "a fast cooldown takes ten seconds or more",
        FIT_LOOP,
        "min(FAST_COOLDOWN_PART, FAST_COOLDOWN_SECONDS",
        "max(FAST_COOLDOWN_PART, FAST_COOLDOWN_SECONDS",
        BUDGET_TESTS,
    ),
    EncoderBug(
        "the pace counts the first steps",
        BUDGET,
        "(self.clock.seconds[STEPS] - self.warmup_seconds) / steps",
        "self.clock.seconds[STEPS] / self.step",
        BUDGET_TESTS,
    ),
    EncoderBug(
        "the limit that is reached last ends the fit",
        BUDGET,
        "share = max(share, taken / max(available, 1e-9))",
        "share = min(share or 1.0, taken / max(available, 1e-9))",
        BUDGET_TESTS,
    ),
    EncoderBug(
        "a fit of one step too many", BUDGET, "self.spent(0.5) > self.end", "self.spent(-0.5) > self.end", BUDGET_TESTS
    ),
    EncoderBug(
        "a cooldown may end after the budget",
        BUDGET,
        "min(self.end, max(self.spent(1), now * (1 + part)))",
        "max(self.spent(1), now * (1 + part))",
        BUDGET_TESTS,
    ),
    EncoderBug(
        "a second cooldown starts anew", BUDGET, "self.cooldown[0] if self.cooldown else now", "now", BUDGET_TESTS
    ),
    EncoderBug(
        "an extension starts at the peak",
        BUDGET,
        "(end - now) / EXTENSION_LR_FACTOR, end",
        "(end - now), end",
        BUDGET_TESTS,
    ),
    EncoderBug(
        "a cooldown starts at the peak",
        BUDGET,
        "(1 - start) * (end - now) / max(end - start, 1e-9)",
        "(end - now) / max(end - start, 1e-9)",
        BUDGET_TESTS,
    ),
    EncoderBug(
        "the warm-up is the longer of two",
        BUDGET,
        "max(now / options.warmup, (self.step + 1) / options.warmup_steps)",
        "min(now / options.warmup, (self.step + 1) / options.warmup_steps)",
        BUDGET_TESTS,
    ),
    EncoderBug(
        "a restored fit has lost its cooldown",
        BUDGET,
        'tuple(state["cooldown"]) if state["cooldown"] else None',
        "None",
        BUDGET_TESTS,
    ),
    EncoderBug(
        "frames left in the queue are dropped",
        FRAME_SAMPLER,
        "self.queue[:count], self.queue[count:]",
        "self.queue[:count], []",
        BUDGET_TESTS,
    ),
    EncoderBug("the order of frames has no seed", FRAME_SAMPLER, "manual_seed(seed)", "manual_seed(0)", BUDGET_TESTS),
]

#: Rate control.
RATE = [
    EncoderBug(
        "lambda is steered the wrong way",
        RATE_CONTROL,
        "(bits / target) ** (gain * share)",
        "(target / bits) ** (gain * share)",
        RATE_TESTS,
    ),
    EncoderBug(
        "gains of overshoot and undershoot swapped",
        RATE_CONTROL,
        "OVERSHOOT_GAIN if bits > target",
        "OVERSHOOT_GAIN if bits < target",
        RATE_TESTS,
    ),
    EncoderBug(
        "lambda has no upper bound",
        RATE_CONTROL,
        "min(high, max(low, self.rd_lambda",
        "max(low, (self.rd_lambda",
        RATE_TESTS,
    ),
    EncoderBug(
        "only the last training step counts",
        RATE_CONTROL,
        "        bits, target = statistics.mean(self.recent_bits)",
        "        bits, target = self.recent_bits[-1]",
        RATE_TESTS,
    ),
    EncoderBug(
        "the first target counts",
        RATE_CONTROL,
        "target = self.targets[-1]\n        if",
        "target = self.targets[0]\n        if",
        RATE_TESTS,
    ),
    EncoderBug(
        "steps are shifted the wrong way",
        RATE_CONTROL,
        "(target - bits) / self.quant_steps.stored_values",
        "(bits - target) / self.quant_steps.stored_values",
        RATE_TESTS,
    ),
    EncoderBug("steps are shifted at once", RATE_CONTROL, "MAX_STEP_SHIFT * share", "MAX_STEP_SHIFT", RATE_TESTS),
    EncoderBug(
        "lower layers cost nothing", RATE_CONTROL, "(bits.detach() + lower_layer_bits)", "bits.detach()", RATE_TESTS
    ),
    EncoderBug(
        "the bits of lower layers do not reach the loss",
        FIT,
        "rate_term(loss, bits, self.rate_control.rd_lambda, lower_layer_bits)",
        "rate_term(loss, bits, self.rate_control.rd_lambda)",
        RATE_TESTS,
    ),
    EncoderBug(
        "the joint fit is not steered",
        JOINT_FIT,
        "fit.rate_control.update_lambda(step_share)",
        "fit.rate_control.update_lambda(0.0)",
        RATE_TESTS,
    ),
    EncoderBug(
        "the joint fit counts each layer by itself",
        JOINT_FIT,
        "bits = bits + fit.rate_control",
        "bits = fit.rate_control",
        RATE_TESTS,
    ),
    EncoderBug(
        "the joint fit does not divide by the loss",
        JOINT_FIT,
        "fit.rate_control.rd_lambda)) / loss.detach()",
        "fit.rate_control.rd_lambda))",
        RATE_TESTS,
    ),
]

#: Ending at a size or at a quality.
TARGETS = [
    EncoderBug(
        "the file may be 1 % too large",
        SIZE_TARGET,
        "if FILL_ENOUGH * available <= used <= available:",
        "if FILL_ENOUGH * available <= used <= 1.01 * available:",
        TARGET_TESTS,
    ),
    EncoderBug(
        "the search ends at the last trial, whatever it is",
        SIZE_TARGET,
        "    if used > available:\n        fit.quant_steps.shift((fits",
        "    if False:\n        fit.quant_steps.shift((fits",
        TARGET_TESTS,
    ),
    EncoderBug(
        "the search interpolates from the wrong end",
        SIZE_TARGET,
        "return fits.shift + min",
        "return too_large.shift + min",
        TARGET_TESTS,
    ),
    EncoderBug(
        "the search does not go beyond what it knows",
        SIZE_TARGET,
        "shift + OVERREACH * 64",
        "shift + 0.1 * 64",
        TARGET_TESTS,
    ),
    EncoderBug(
        "steps may become as fine as they like",
        SIZE_TARGET,
        "min(MAX_REFINEMENT, max(-MAX_COARSENING, wanted))",
        "max(-MAX_COARSENING, wanted)",
        TARGET_TESTS,
    ),
    EncoderBug("bytes are measured once", SIZE_TARGET, "enumerate((halfway, 1.0))", "enumerate((1.0,))", TARGET_TESTS),
    EncoderBug(
        "the target is in bytes, not bits",
        SIZE_TARGET,
        "max(1.0, bits_per_byte * FILL_AIM * available)",
        "max(1.0, FILL_AIM * available)",
        TARGET_TESTS,
    ),
    EncoderBug(
        "the gain of a cooldown is not learned",
        QUALITY_TARGET,
        "expected_gain = reached - before",
        "expected_gain = EXPECTED_COOLDOWN_GAIN_DB",
        TARGET_TESTS,
    ),
    EncoderBug(
        "a cooldown that falls short ends the fit",
        QUALITY_TARGET,
        "if reached >= target_db + SAFETY_DB:",
        "if True:",
        TARGET_TESTS,
    ),
    EncoderBug(
        "a failed attempt is not taken back",
        QUALITY_TARGET,
        "            good.restore(fit)\n    (initial",
        "    (initial",
        TARGET_TESTS,
    ),
    EncoderBug(
        "the last attempt stays, good or bad",
        QUALITY_TARGET,
        "    (initial if should_stop() else good).restore(fit)",
        "    pass",
        TARGET_TESTS,
    ),
    EncoderBug(
        "a fit stopped while saving keeps what it saved",
        QUALITY_TARGET,
        "(initial if should_stop() else good)",
        "good",
        TARGET_TESTS,
    ),
    EncoderBug(
        "an attempt saves more than an octave",
        QUALITY_TARGET,
        "min(MAX_SAVING_OCTAVES, margin / DB_PER_BITS_DOUBLING)",
        "margin / DB_PER_BITS_DOUBLING",
        TARGET_TESTS,
    ),
]

#: Losses, optimisers, and the state of a fit.
FITS = [
    EncoderBug(
        "loss weights of the first frame",
        LOSSES,
        "self.weights[list(frames)]",
        "self.weights[[0] * len(frames)]",
        ("tests/encoding/test_losses.py::test_weights_are_those_of_the_frame",),
    ),
    EncoderBug(
        "Muon without Nesterov",
        MUON,
        'gradient.lerp(state["average"], group["momentum"])',
        'state["average"].clone()',
        MUON_TESTS,
    ),
    EncoderBug(
        "Muon without the scale of tall matrices",
        MUON,
        "max(1.0, update.size(0) / update.size(1)) ** 0.5",
        "1.0",
        MUON_TESTS,
    ),
    EncoderBug(
        "Muon in one dimension", MUON, "reshape(parameter.size(0), -1)", "reshape(-1, parameter.size(-1))", MUON_TESTS
    ),
    EncoderBug("latents are not learned", FIT, "RELATIVE_LATENT_LR * float(", "0.0 * float(", STATE_TESTS),
    EncoderBug(
        "latents with fixed steps are learned as well",
        FIT,
        "self.quant_steps.latents[: self.quant_steps.learned_latents]:",
        "self.quant_steps.latents:",
        STATE_TESTS,
    ),
    EncoderBug(
        "a cancelled cooldown leaves latents to be learned",
        FIT,
        "latent.requires_grad_(False)",
        "latent.requires_grad_(True)",
        STATE_TESTS,
    ),
    EncoderBug(
        "quantisation steps are not learned",
        FIT,
        "requires_grad_(options.rd_lambda > 0)",
        "requires_grad_(False)",
        STATE_TESTS,
    ),
    EncoderBug("learning rates have no schedule", OPTIMISERS, "self.peak_lr * lr_factor", "self.peak_lr", STATE_TESTS),
    EncoderBug(
        "Adam for every kernel",
        OPTIMISERS,
        "parameter.ndim == 4 and parameter.size(1) > 1",
        "parameter.ndim == 4 and parameter.size(1) > 1000",
        STATE_TESTS,
    ),
    EncoderBug(
        "the queue of frames is not restored",
        FIT_STATE,
        'fit.sampler.queue = list(plain["queue"])',
        "fit.sampler.queue = []",
        STATE_TESTS,
    ),
    EncoderBug(
        "the generator of the order is not restored",
        FIT_STATE,
        'fit.sampler.generator.set_state(tensors["order"])',
        "fit.sampler.generator.get_state()",
        STATE_TESTS,
    ),
    EncoderBug(
        "a snapshot's latents are the fit's", FIT_STATE, ".to(fit.device, copy=True)", ".to(fit.device)", STATE_TESTS
    ),
    EncoderBug(
        "a snapshot is no copy", FIT_STATE, "name: tensor.clone() for", "name: tensor.detach() for", STATE_TESTS
    ),
    EncoderBug(
        "a restored fit does not learn its latents",
        FIT_STATE,
        "            fit.learn_latents()",
        "            pass",
        STATE_TESTS,
    ),
    EncoderBug(
        "seed accepted in checkpoint",
        CHECKPOINT,
        '"batch", "bfloat16")',
        '"batch", "bfloat16", "seed")',
        ("tests/encoding/test_run.py::test_checkpoints_of_other_fits_are_refused",),
    ),
    EncoderBug(
        "abnormality: the variance does not count",
        SKIP_CONNECTION,
        "0.5 * (z.square().mean() - variance.log().mean() - 1)",
        "0.5 * (z.square().mean() - 1)",
        ("tests/encoding/test_skip.py::test_abnormality",),
    ),
]

#: Quantisation steps, warm starts, and what is written.
QUANTISATION = [
    EncoderBug(
        "grids do not count as stored values",
        LEARNED_STEPS,
        "return weights + sum(values.numel() for values, _ in self._grids_and_latents())",
        "return weights",
        STATE_TESTS,
    ),
    EncoderBug(
        "steps become finer than 8 bits hold",
        LEARNED_STEPS,
        "torch.minimum(shifted, self.finest) if eighths > 0 else shifted",
        "shifted",
        STATE_TESTS,
    ),
    EncoderBug(
        "steps become as coarse as they like",
        LEARNED_STEPS,
        "torch.maximum(self.fineness, self.finest - MAX_COARSENING)",
        "(self.fineness + 0)",
        STATE_TESTS,
    ),
    EncoderBug(
        "a quarter of the times counts once",
        LEARNED_STEPS,
        "QUARTERS * CONTEXT_GAIN\n",
        "CONTEXT_GAIN\n",
        ("tests/encoding/test_rate.py::test_the_parts_are_on_average_the_whole",),
    ),
    EncoderBug(
        "warm start keeps the weakest channels",
        WARM_START,
        "np.argsort(-strength",
        "np.argsort(strength",
        ("tests/encoding/test_warm.py::test_the_strongest_channels_are_kept",),
    ),
    EncoderBug(
        "warm start: weights that read a channel do not count",
        WARM_START,
        "strength = strength * np.square",
        "strength = strength + 0 * np.square",
        ("tests/encoding/test_warm.py::test_a_channel_that_is_not_read_is_dropped",),
    ),
    EncoderBug(
        "warm start: old channels read new ones",
        WARM_START,
        "weight[: len(outputs), :, len(inputs) :] = 0",
        "weight[: len(outputs), :, len(inputs) :] *= 1",
        ("tests/encoding/test_warm.py::test_new_channels_have_no_influence_at_first",),
    ),
    EncoderBug(
        "a unit that breaks a bound leaves its weights",
        BUILDER,
        "self.convs = {index: conv for index, conv in self.convs.items() if index < mark}",
        "pass",
        BUILDER_TESTS,
    ),
    EncoderBug("ranges without headroom", BUILDER, "RANGE_HEADROOM = 1.02", "RANGE_HEADROOM = 1.0", BUILDER_TESTS),
    EncoderBug("ranges without zero", BUILDER, "max(values[1], 0)", "values[1]", BUILDER_TESTS),
    EncoderBug(
        "accumulators of any size",
        BUILDER,
        "self.tensors[source]).max() >= LIMIT:",
        "self.tensors[source]).max() >= 2 * LIMIT:",
        BUILDER_TESTS,
    ),
    EncoderBug(
        "the offset is forgotten", BUILDER, ".double().cpu().numpy() + offset", ".double().cpu().numpy()", BUILDER_TESTS
    ),
    EncoderBug(
        "a bias in units as coarse as the result",
        BUILDER,
        "t_units.min() / BIAS_UNITS_PER_RESULT",
        "t_units.min() * 4",
        BUILDER_TESTS,
    ),
    EncoderBug(
        "a group of zeros has any step",
        BUILDER,
        "indices[~live] = round(np.median(indices[live]))",
        "pass",
        BUILDER_TESTS,
    ),
    EncoderBug("a checksum for every frame", ASSEMBLY, "while group < frames and", "while False and", JOB_TESTS),
    EncoderBug(
        "durations are all those of the first frame",
        CLIP_HEADER,
        "(durations == durations[0]).all() and durations[0] < 2**32",
        "durations[0] < 2**32",
        JOB_TESTS,
    ),
    EncoderBug("the first time stamp is lost", CLIP_HEADER, "clip.ticks[0][0], constant", "0, constant", JOB_TESTS),
    EncoderBug(
        "a sample aspect of any size",
        CLIP_HEADER,
        "clip.sample_aspect.limit_denominator(MAX_ASPECT_TERM)",
        "clip.sample_aspect",
        JOB_TESTS,
    ),
]

#: In what encoder and decoder share.
SHARED = [
    EncoderBug(
        "frames between: the last lasts too short",
        TIMELINE,
        "pts * self.factor, duration * self.factor)",
        "pts * self.factor, duration)",
        ("tests/decoding/test_interpolation.py::test_whole_frames_are_the_transmitted_ones",),
    ),
    EncoderBug(
        "decoder imports fit",
        DECODED_VIDEO,
        "from nvcodec.devices import pick_device\n",
        "import nvcodec.encoding.fit.fit_options  # noqa: F401\nfrom nvcodec.devices import pick_device\n",
        ("tests/system/test_imports.py::test_decoding_imports_no_training_code",),
    ),
    EncoderBug(
        "conceal one layer too low",
        CONCEALMENT,
        "layers[frame] = count - 1",
        "layers[frame] = max(0, count - 2)",
        ("tests/decoding/test_damage.py",),
    ),
    EncoderBug(
        "skip weights mislabelled",
        PAYLOADS,
        '"skip_weights") if index in skip',
        '"weights") if index in skip',
        ("tests/encoding/test_skip.py::test_every_switch_gives_a_file",),
    ),
    EncoderBug(
        "coder padding: none",
        CHUNKS,
        "max(0, self.word_bytes - math.ceil(self.information_bits / 8))",
        "0",
        ("tests/format/test_required_memory.py",),
    ),
    EncoderBug(
        "decode scratch: none",
        LIMITS,
        "tensors = max(tensors, alive + scratch",
        "tensors = max(tensors, alive",
        ("tests/format/test_required_memory.py",),
    ),
    EncoderBug(
        "weight memory: none",
        LIMITS,
        "WEIGHT_MEMORY * weights + LATENT",
        "LATENT",
        ("tests/format/test_required_memory.py",),
    ),
]

#: Measures, bench, and video.
MEASURES = [
    EncoderBug(
        "luma: red and blue swapped",
        METRICS,
        "0.299 * red + 0.587 * green + 0.114 * blue",
        "0.114 * red + 0.587 * green + 0.299 * blue",
        ("tests/test_metrics.py",),
    ),
    EncoderBug("SSIM: sigma 4", METRICS, "SIGMA = 11, 1.5", "SIGMA = 11, 4.0", ("tests/test_metrics.py",)),
    EncoderBug(
        "MS-SSIM: weights reversed",
        METRICS,
        "(0.0448, 0.2856, 0.3001, 0.2363, 0.1333)",
        "(0.1333, 0.2363, 0.3001, 0.2856, 0.0448)",
        ("tests/test_metrics.py",),
    ),
    EncoderBug(
        "MS-SSIM: without luminance",
        METRICS,
        "(similarity if last else contrast)",
        "contrast",
        ("tests/test_metrics.py",),
    ),
    EncoderBug(
        "MS-SSIM: luminance at every scale",
        METRICS,
        "(similarity if last else contrast)",
        "similarity",
        ("tests/test_metrics.py",),
    ),
    EncoderBug(
        "SSIM: covariance not doubled",
        METRICS,
        "(2 * covariance + c2)",
        "(covariance + c2)",
        ("tests/test_metrics.py",),
    ),
    EncoderBug("PSNR: 10 becomes 20", METRICS, "10 * math.log10", "20 * math.log10", ("tests/test_metrics.py",)),
    EncoderBug(
        "BD-rate: anchor and test swapped",
        MEASUREMENT,
        "bd_rate(self.curve(anchor, quality), self.curve(name, quality))",
        "bd_rate(self.curve(name, quality), self.curve(anchor, quality))",
        ("tests/bench/test_bench.py",),
    ),
    EncoderBug(
        "BD-rate: linear interpolation",
        BD,
        "PchipInterpolator(quality, log_bytes)(samples)",
        "np.interp(samples, quality, log_bytes)",
        ("tests/bench/test_bench.py",),
    ),
    EncoderBug(
        "BD-rate: dominated points stay",
        BD,
        "if not pareto or quality > pareto[-1][1]:",
        "if not pareto or quality != pareto[-1][1]:",
        ("tests/bench/test_bench.py",),
    ),
    EncoderBug(
        "chart: y axis upside down",
        CHART,
        "        if logarithmic:\n",
        "        axes.invert_yaxis()\n        if logarithmic:\n",
        ("tests/bench/test_bench.py",),
    ),
    EncoderBug(
        "chart: x axis never logarithmic",
        CHART,
        "        if logarithmic:\n",
        "        if False:\n",
        ("tests/bench/test_bench.py",),
    ),
    EncoderBug(
        "duration: hours and minutes swapped",
        CLI_OPTIONS,
        'f"{hours}:{minutes:02d}:',
        'f"{minutes}:{hours:02d}:',
        ("tests/cli/test_options.py",),
    ),
    EncoderBug(
        "duration: minutes not taken modulo 60",
        CLI_OPTIONS,
        "whole // 60 % 60",
        "whole // 60",
        ("tests/cli/test_options.py",),
    ),
    EncoderBug(
        "change: always 0",
        MOTION,
        "return differences / energy if energy else 0.0",
        "return 0.0",
        ("tests/video/test_motion.py",),
    ),
    EncoderBug(
        "change: not halved",
        MOTION,
        "differences / energy if energy",
        "2 * differences / energy if energy",
        ("tests/video/test_motion.py",),
    ),
    EncoderBug(
        "change: neighbours instead of four frames later", MOTION, "LAG = 4", "LAG = 1", ("tests/video/test_motion.py",)
    ),
    EncoderBug(
        "change: block means stay",
        MOTION,
        "return grey - means[:, :, :height, :width]",
        "return grey",
        ("tests/video/test_motion.py",),
    ),
    EncoderBug(
        "change: only the beginning of a clip",
        MOTION,
        "// max(1, count - 1)",
        "// max(1, 2 * count - 1)",
        ("tests/video/test_motion.py",),
    ),
    EncoderBug(
        "scaling: no antialiasing", TRANSFORM, "antialias=True", "antialias=False", ("tests/video/test_video.py",)
    ),
    EncoderBug(
        "crop: offset of rows and columns swapped",
        TRANSFORM,
        "rows // 2 : rows // 2 + height, columns // 2 : columns // 2 + width",
        "columns // 2 : columns // 2 + height, rows // 2 : rows // 2 + width",
        ("tests/video/test_video.py",),
    ),
    EncoderBug(
        "y4m: chroma planes swapped",
        SINKS,
        "np.ascontiguousarray(planes).data",
        "np.ascontiguousarray(planes.reshape(3, -1)[[0, 2, 1]]).data",
        ("tests/video/test_video.py",),
    ),
    EncoderBug(
        "y4m: sample aspect upside down",
        SINKS,
        'f"A{sample_aspect.numerator}:{sample_aspect.denominator} C444',
        'f"A{sample_aspect.denominator}:{sample_aspect.numerator} C444',
        ("tests/video/test_video.py",),
    ),
]

BUGS = [*OPTIONS, *JOBS, *SIZES, *BUDGET_BUGS, *RATE, *TARGETS, *FITS, *QUANTISATION, *SHARED, *MEASURES]
