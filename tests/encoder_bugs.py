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

    Its ``tests`` have to catch it.
    """


CLOCK = "encoding/clock.py"
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
BASE_CACHE = "encoding/av1/base_cache.py"
BASE_JOB = "encoding/av1/base_job.py"
CORRECTION_EXPORT = "encoding/av1/correction_export.py"
CORRECTION_FIT = "encoding/av1/correction_fit.py"
CORRECTION_JOB = "encoding/av1/correction_job.py"
CORRECTION_LOSS = "encoding/av1/correction_loss.py"
CORRECTION_NETWORK = "encoding/av1/correction_network.py"
CRF_SEARCH = "encoding/av1/crf_search.py"
CROPS = "encoding/av1/crops.py"
FOREIGN_BASE = "encoding/av1/foreign_base.py"
SVT_ENCODER = "encoding/av1/svt_encoder.py"
VERIFICATION = "encoding/verification.py"
AV1_FILES = "video/av1_files.py"
CLI_READING = "cli/reading.py"
WRAPPING = "encoding/wrapping.py"
SOURCE_EXTRAS = "encoding/source_extras.py"
TRACK_READER = "video/track_reader.py"
TRACK_MUXER = "video/track_muxer.py"
TRACK_TEMPLATES = "video/track_templates.py"
CLI_MAIN = "cli/main.py"
CLI_OPTIONS = "cli/options.py"
MEASUREMENT = "bench/measurement.py"
BD = "bench/bd.py"
CHART = "bench/chart.py"
METRICS = "metrics.py"
MOTION = "video/motion.py"
BYTE_SINKS = "video/byte_sinks.py"
CONTAINER_SINK = "video/container_sink.py"
OUTPUT_TIMES = "video/output_times.py"
TRANSFORM = "video/transform.py"
ORIENTATION = "video/orientation.py"
SOURCE_FRAME = "video/source_frame.py"
TIMING = "video/timing.py"
VIDEO_FILE = "video/video_file.py"
FILE_LOSSES = "video/file_losses.py"
IMAGE_SEQUENCE = "video/image_sequence.py"
FRAME_TO_RGB = "video/frame_to_rgb.py"
SOURCE = "video/source.py"
SELECTION = "video/selection.py"
SEEKING = "video/seeking.py"
DEINTERLACING = "video/deinterlacing.py"
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
CACHE_TESTS = ("tests/encoding/test_base_cache.py",)
CORRECTION_TESTS = ("tests/encoding/test_correction.py",)
CORRECTION_JOB_TESTS = ("tests/encoding/test_correction_job.py",)
CRF_TESTS = ("tests/encoding/test_crf_search.py",)
CROP_TESTS = ("tests/encoding/test_crops.py",)
FOREIGN_TESTS = ("tests/encoding/test_av1_base_file.py",)
SVT_TESTS = ("tests/encoding/test_svt_encoder.py",)
AV1_FILE_TESTS = ("tests/video/test_av1_files.py",)
LAYERS_TEST = ("tests/encoding/test_av1_encode.py::test_several_layers",)

#: Options and their meaning.
OPTIONS = [
    EncoderBug(
        "--lambda: above 20 dB allowed",
        ENCODE_CONFIG,
        "if not 0 <= config.lambda_db <= MAX_LAMBDA_DB:",
        "if not 0 <= config.lambda_db:",
        CONFIG_TESTS,
    ),
    EncoderBug(
        "grids: a share above 1",
        ENCODE_CONFIG,
        "if not 0 <= config.grids <= 1:",
        "if not 0 <= config.grids <= 2:",
        CONFIG_TESTS,
    ),
    EncoderBug(
        "two targets at once",
        ENCODE_CONFIG,
        "(config.target_size, config.bitrate, config.target_psnr)) > 1",
        "(config.target_size, config.bitrate, config.target_psnr)) > 2",
        CONFIG_TESTS,
    ),
    EncoderBug(
        "layers with a bit rate",
        ENCODE_CONFIG,
        "bool(sizes) or config.bitrate is not None or config.target_psnr is not None",
        "bool(sizes) or config.target_psnr is not None",
        CONFIG_TESTS,
    ),
    EncoderBug(
        "joint and resume",
        ENCODE_CONFIG,
        "or config.onto is not None or config.resume)",
        "or config.onto is not None)",
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
        "what a layer does not take is lost",
        CLOCK,
        "            self._end = end",
        "            pass",
        JOB_TESTS,
    ),
    EncoderBug(
        "a later file's share of the time is that of the first one",
        BUDGET,
        "self._allotted_at = self.spent(), self.clock.total",
        "self._allotted_at = 0.0, 0.0",
        BUDGET_TESTS,
    ),
    EncoderBug(
        "several files have the time of one",
        BUDGET,
        "available /= 1 + (self._files - 1) * options.quantised_share",
        "pass",
        BUDGET_TESTS,
    ),
    EncoderBug(
        "what cannot be done in time is tried",
        CLOCK,
        "if seconds > left:",
        "if False:",
        ("tests/encoding/test_clock.py",),
    ),
    EncoderBug(
        "no time is kept for the joint fit",
        ENCODE_JOB,
        "with self.clock.share(1 - JOINT_SHARE if self.config.joint else 1):",
        "with self.clock.share(1):",
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
        "                lower_layers = self.files[-1][0].data\n        return jobs",
        "                lower_layers = self.files[0][0].data\n        return jobs",
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
        "            shared.restore(self.fit)\n            with self",
        "            with self",
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
        "share = max(share, before + (1 - before)",
        "share = min(share or 1.0, before + (1 - before)",
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
    EncoderBug(
        "a restored optimiser updates what it was restored from",
        OPTIMISERS,
        "torch.empty_like(layout, dtype=tensor.dtype).copy_(tensor)",
        "tensor",
        ("tests/encoding/test_fit_state.py::test_a_snapshot_is_a_moment",),
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
        "LUMA_FACTORS[0] * red + LUMA_FACTORS[1] * green + LUMA_FACTORS[2] * blue",
        "LUMA_FACTORS[2] * red + LUMA_FACTORS[1] * green + LUMA_FACTORS[0] * blue",
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
        "y4m: red and blue swapped",
        BYTE_SINKS,
        "rgb_to_yuv444(channels_first(picture), self.bits)",
        "rgb_to_yuv444(channels_first(picture).flip(0), self.bits)",
        ("tests/video/test_video.py",),
    ),
    EncoderBug(
        "y4m: sample aspect upside down",
        BYTE_SINKS,
        'f"A{aspect.numerator}:{aspect.denominator} {kind}',
        'f"A{aspect.denominator}:{aspect.numerator} {kind}',
        ("tests/video/test_video.py",),
    ),
    EncoderBug(
        "output: a matrix that is not the one it is tagged with",
        "video/frame_converters.py",
        "self.bits, self.tags.matrix)",
        "self.bits)",
        ("tests/video/test_output_colors.py",),
    ),
    EncoderBug(
        "output: PNG without tags",
        "video/png_sinks.py",
        "set_tags(frame, tags_of_rgb(color))",
        "pass",
        ("tests/video/test_output_colors.py",),
    ),
    EncoderBug(
        "output: chroma said to lie at the left",
        CONTAINER_SINK,
        "chromaloc=1",
        "chromaloc=0",
        ("tests/video/test_output_colors.py",),
    ),
    EncoderBug(
        "output: one palette for all pictures of a GIF",
        "video/frame_converters.py",
        '"paletteuse", "new=1"',
        '"paletteuse", "new=0"',
        ("tests/video/test_outputs.py",),
    ),
    EncoderBug(
        "output: 4:2:0 with odd sides in H.264",
        CONTAINER_SINK,
        "subsampled=even or form.odd_sides",
        "subsampled=True",
        ("tests/video/test_outputs.py",),
    ),
    EncoderBug(
        "output: no word of uneven frames in y4m",
        BYTE_SINKS,
        "1 / self.fps / 10:",
        "1 / self.fps * 10:",
        ("tests/video/test_output_times.py",),
    ),
    EncoderBug(
        "output: times of a part counted from 0, not from the first frame",
        "cli/reading.py",
        "pts = ticks[first][0] + moment",
        "pts = moment",
        ("tests/cli/test_cli_decode.py",),
    ),
    EncoderBug(
        "output: a last frame of no duration",
        CONTAINER_SINK,
        "packet.duration = self.durations.pop(packet.pts)",
        "packet.duration = 0",
        ("tests/video/test_output_times.py",),
    ),
    EncoderBug(
        "output: negative times left as they are",
        OUTPUT_TIMES,
        "min(pts, 0) if self.keep else pts",
        "0 if self.keep else pts",
        ("tests/video/test_output_times.py",),
    ),
    EncoderBug(
        "output: frames within one tick at one time",
        OUTPUT_TIMES,
        "self._last + 1)",
        "self._last)",
        ("tests/video/test_output_times.py",),
    ),
]

#: AV1 streams: made, kept, and those of others.
AV1_STREAMS = [
    EncoderBug(
        "AV1 stream: whole rate factors",
        SVT_ENCODER,
        "crf={self.crf + finer:g}",
        "crf={int(self.crf) + finer}",
        SVT_TESTS,
    ),
    EncoderBug(
        "AV1 stream: an offset for more bytes, not for fewer",
        SVT_ENCODER,
        "startup-qp-offset={-finer}",
        "startup-qp-offset={finer}",
        SVT_TESTS,
    ),
    EncoderBug(
        "AV1 stream: a rate factor beyond the scale",
        SVT_ENCODER,
        "min(FINER, math.floor(MAX_CRF - self.crf))",
        "FINER",
        SVT_TESTS,
    ),
    EncoderBug(
        "AV1 stream: the end of every run but the last is lost",
        SVT_ENCODER,
        "                units += run.end() if run else []\n",
        "",
        SVT_TESTS,
    ),
    EncoderBug(
        "AV1 stream: runs of any length",
        SVT_ENCODER,
        "min(MAX_RUN_FRAMES, math.floor(self.fps * MAX_RUN_SECONDS))",
        "math.floor(self.fps * MAX_RUN_SECONDS)",
        SVT_TESTS,
    ),
    EncoderBug(
        "AV1 stream: any frame rate is told",
        SVT_ENCODER,
        "return min(max(self.fps.limit_denominator(MAX_RATE_TERM), Fraction(LEAST_FPS)), Fraction(MOST_FPS))",
        "return self.fps",
        SVT_TESTS,
    ),
    EncoderBug(
        "AV1 stream: its matrix is not declared",
        SVT_ENCODER,
        "context.colorspace, context.color_range = settings.matrix, 1",
        "context.colorspace, context.color_range = 2, 1",
        SVT_TESTS,
    ),
    EncoderBug(
        "AV1 stream: converted by BT.601 always",
        SVT_ENCODER,
        "rgb_to_yuv420(picture, DEPTH, self.settings.matrix)",
        "rgb_to_yuv420(picture, DEPTH)",
        ("tests/encoding/test_av1_encode.py::test_a_source_says_its_matrix",),
    ),
    EncoderBug(
        "AV1 cache: damage goes unnoticed",
        BASE_CACHE,
        'if zlib.crc32(data) != about["crc"] or sum(about["sizes"]) != len(data):',
        'if sum(about["sizes"]) != len(data):',
        CACHE_TESTS,
    ),
    EncoderBug(
        "AV1 cache: that of any clip is taken",
        BASE_CACHE,
        'same = meta["identity"] == self.identity',
        "same = True",
        CACHE_TESTS,
    ),
    EncoderBug(
        "AV1 cache: every frame is a key frame",
        BASE_CACHE,
        "TemporalUnit(data[start:end], bool(key))",
        "TemporalUnit(data[start:end], True)",
        CACHE_TESTS,
    ),
    EncoderBug(
        "AV1 cache: only the last stream is kept",
        BASE_CACHE,
        "for key, stream in self.streams.items():",
        "for key, stream in [(name, self.streams[name])]:",
        CACHE_TESTS,
    ),
    EncoderBug(
        "foreign stream: later runs have no header",
        FOREIGN_BASE,
        "header + data if key and not has_header else data, key",
        "data, key",
        FOREIGN_TESTS,
    ),
    EncoderBug("foreign stream: chroma always at the left", FOREIGN_BASE, "2: TOP_LEFT", "2: LEFT", FOREIGN_TESTS),
    EncoderBug(
        "foreign stream: the source's matrix is not asked",
        FOREIGN_BASE,
        "declared_matrix if sequence.matrix == 2 else sequence.matrix",
        "sequence.matrix",
        FOREIGN_TESTS,
    ),
    EncoderBug(
        "foreign stream: a run is the whole stream",
        FOREIGN_BASE,
        "run = 1 if key else run + 1",
        "run = run + 1",
        FOREIGN_TESTS,
    ),
    EncoderBug(
        "foreign stream: need not begin with a key frame",
        FOREIGN_BASE,
        "if not units[0].key:",
        "if False:",
        FOREIGN_TESTS,
    ),
    EncoderBug(
        "foreign stream: headers that differ",
        FOREIGN_BASE,
        "for run in runs_of(units, picture)}) > 1:",
        "for run in runs_of(units, picture)}) > 2:",
        FOREIGN_TESTS,
    ),
    EncoderBug(
        "foreign stream: of another size",
        BASE_JOB,
        "(len(given[0]), picture.width, picture.height) != (len(clip.frames), clip.width, clip.height)",
        "len(given[0]) != len(clip.frames)",
        FOREIGN_TESTS,
    ),
]

#: What networks above an AV1 stream are fitted to and for.
AV1_LOSSES = [
    EncoderBug(
        "crops: at odd positions",
        CROPS,
        "tops = 2 * random.integers(0, (height - rows) // 2 + 1, count)",
        "tops = random.integers(0, height - rows + 1, count)",
        CROP_TESTS,
    ),
    EncoderBug(
        "crops: their borders are shifted",
        CROPS,
        "row, column = top + margin - border, left + margin - border",
        "row, column = top + margin - border, left + margin",
        CROP_TESTS,
    ),
    EncoderBug(
        "crops: weights relative to the crops of a step",
        CROPS,
        "self.weights[chosen].float() / self.mean_weight",
        "self.weights[chosen].float() / self.weights[chosen].float().mean()",
        CROP_TESTS,
    ),
    EncoderBug(
        "crops: errors of pictures that are not clamped",
        CROPS,
        "(shown.clamp(0, peak) - original * step)",
        "(shown - original * step)",
        CROP_TESTS,
    ),
    EncoderBug(
        "crops: Cb and Cr swapped",
        CROPS,
        "(rgb[:, 2] - luma) / (2 * (1 - blue)), (rgb[:, 0] - luma) / (2 * (1 - red))",
        "(rgb[:, 0] - luma) / (2 * (1 - red)), (rgb[:, 2] - luma) / (2 * (1 - blue))",
        CROP_TESTS,
    ),
    EncoderBug(
        "crops: chroma at an odd edge counts zeros",
        CROPS,
        "F.avg_pool2d(torch.stack([cb, cr], 1), 2, ceil_mode=True)",
        "F.avg_pool2d(torch.stack([cb, cr], 1), 2)",
        CROP_TESTS,
    ),
    EncoderBug(
        "planes: relative to the mean of the frames",
        CORRECTION_LOSS,
        "crops.plane_errors[chosen].clamp(",
        "crops.plane_errors.mean(0).clamp(",
        CROP_TESTS,
    ),
    EncoderBug(
        "the default loss: as much RGB as planes",
        CORRECTION_LOSS,
        "return (1 - RGB_SHARE) * planes + RGB_SHARE * rgb",
        "return 0.5 * planes + 0.5 * rgb",
        CROP_TESTS,
    ),
    EncoderBug("planes: weighted 4:2:2", CORRECTION_LOSS, "(0.75, 0.125, 0.125)", "(0.5, 0.25, 0.25)", CROP_TESTS),
    EncoderBug("planes: Cr without weights", CORRECTION_LOSS, "squares[2] * blocks]", "squares[2]]", CROP_TESTS),
    EncoderBug(
        "RGB: a perfect frame divides by zero",
        CORRECTION_LOSS,
        "crops.rgb_errors[chosen].clamp(min=LEAST_ERROR * crops.step**2)",
        "crops.rgb_errors[chosen]",
        CROP_TESTS,
    ),
    EncoderBug(
        "own loss: numbers of crops instead of frames",
        CORRECTION_LOSS,
        "crops.frames[chosen].tolist()",
        "chosen.tolist()",
        CROP_TESTS,
    ),
    EncoderBug(
        "a named loss without weights",
        CORRECTION_LOSS,
        "(errors if crops.weights is None else errors * crops.relative_weights(chosen)).mean()",
        "errors.mean()",
        CROP_TESTS,
    ),
]

#: The networks above an AV1 stream.
AV1_NETWORKS = [
    EncoderBug("above AV1: no ReLU", CORRECTION_NETWORK, "x = F.relu(conv(x))", "x = conv(x)", CORRECTION_TESTS),
    EncoderBug(
        "above AV1: a new network corrects",
        CORRECTION_NETWORK,
        "nn.init.zeros_(last.weight)",
        "nn.init.ones_(last.weight)",
        CORRECTION_TESTS,
    ),
    EncoderBug(
        "above AV1: weights of kernels of one row",
        CORRECTION_NETWORK,
        "sum(side**2 * before * after",
        "sum(side * before * after",
        CORRECTION_TESTS,
    ),
    EncoderBug(
        "above AV1: quantised from the beginning",
        CORRECTION_FIT,
        "> (1 - self.options.quantised_share) * self.budget.end",
        "> 0",
        CORRECTION_TESTS,
    ),
    EncoderBug(
        "above AV1: bytes do not count",
        CORRECTION_FIT,
        "loss = loss + rate_term(",
        "loss = loss + 0 * rate_term(",
        CORRECTION_TESTS,
    ),
    EncoderBug(
        "above AV1: judged unrounded",
        CORRECTION_FIT,
        "(pictures(part) / step).round() * step",
        "pictures(part)",
        CORRECTION_TESTS,
    ),
    EncoderBug(
        "above AV1: the caller's random numbers change",
        CORRECTION_FIT,
        "with torch.random.fork_rng(devices=[]):",
        "if True:",
        CORRECTION_TESTS,
    ),
    EncoderBug(
        "above AV1: mid-grey is not made up for",
        CORRECTION_EXPORT,
        "* (MID_GREY / LEVELS_PER_UNIT)",
        "* 0.0",
        CORRECTION_TESTS,
    ),
    EncoderBug(
        "above AV1: nothing is subtracted",
        CORRECTION_EXPORT,
        "PICTURE_SHIFT, (-peak, peak), offset",
        "PICTURE_SHIFT, (0, peak), offset",
        CORRECTION_TESTS,
    ),
    EncoderBug(
        "above AV1: hidden values always have 12 bits",
        CORRECTION_EXPORT,
        "PRE_ACTIVATION_PEAK >> shifts[0] - shift",
        "PRE_ACTIVATION_PEAK",
        CORRECTION_TESTS,
    ),
    EncoderBug(
        "above AV1: the margin is cut off wrongly",
        CORRECTION_EXPORT,
        "Crop(shown, picture.margin, picture.margin, *size)",
        "Crop(shown, picture.margin, 0, *size)",
        CORRECTION_TESTS,
    ),
    EncoderBug(
        "above AV1: each layer corrects the stream",
        CORRECTION_JOB,
        "op_below = 0 if len(layers) == 1 else",
        "op_below = 0 if True else",
        LAYERS_TEST,
    ),
    EncoderBug(
        "above AV1: lower layers keep their checksums",
        CORRECTION_JOB,
        "            for layer in layers:\n                layer.checksums",
        "            for layer in layers[-1:]:\n                layer.checksums",
        LAYERS_TEST,
    ),
    EncoderBug(
        "above AV1: bytes do not count in the choice",
        CORRECTION_JOB,
        "- task.options.rd_lambda * growth",
        "- 0 * growth",
        ("tests/encoding/test_av1_encode.py::test_the_best_of_several_networks",),
    ),
    EncoderBug(
        "above AV1: a size that was asked for has to pay",
        CORRECTION_JOB,
        "if scores[best] > 0 or task.fixed_size else",
        "if scores[best] > 0 else",
        CORRECTION_JOB_TESTS,
    ),
    EncoderBug(
        "above AV1: gains in decibels of amplitudes",
        CORRECTION_JOB,
        "return 10 * math.log10(before",
        "return 20 * math.log10(before",
        CORRECTION_JOB_TESTS,
    ),
    EncoderBug(
        "above AV1: the smallest network of a size",
        CORRECTION_JOB,
        "if shape.parameters <= parameters][-1]",
        "if shape.parameters <= parameters][0]",
        CORRECTION_JOB_TESTS,
    ),
    EncoderBug(
        "above AV1: every fit gets all the time",
        CORRECTION_JOB,
        "left / math.ceil(fits / task.threads)",
        "left",
        CORRECTION_JOB_TESTS,
    ),
    EncoderBug(
        "above AV1: no time is kept for decoding",
        CORRECTION_JOB,
        "left = task.clock.left - decoding",
        "left = task.clock.left",
        CORRECTION_JOB_TESTS,
    ),
    EncoderBug(
        "above AV1: a checksum of one byte",
        CORRECTION_JOB,
        "CHECKSUM_PARTS * CHECKSUM_BYTES * -(",
        "CHECKSUM_PARTS * -(",
        CORRECTION_JOB_TESTS,
    ),
    EncoderBug(
        "above AV1: a draft tries all networks",
        BASE_JOB,
        'hidden[:DRAFT_CANDIDATES] if speed == "draft" else hidden',
        "hidden",
        CORRECTION_JOB_TESTS,
    ),
    EncoderBug(
        "above AV1: a network for what rounding exceeds",
        CORRECTION_JOB,
        "if float(crops.rgb_errors.mean()) < LEAST_ERROR * crops.step**2 and not task.fixed_size:",
        "if False:",
        ("tests/encoding/test_av1_sources.py::test_no_network_for_what_rounding_exceeds",),
    ),
    EncoderBug(
        "above AV1: tune is ignored",
        BASE_JOB,
        "return LOSS_OF_TUNE[config.tune]",
        "return balanced_loss",
        CORRECTION_JOB_TESTS,
    ),
    EncoderBug(
        "above AV1: a time limit has the preset's steps",
        BASE_JOB,
        "(None if timed else CORRECTION_STEPS[config.speed])",
        "CORRECTION_STEPS[config.speed]",
        CORRECTION_JOB_TESTS,
    ),
    EncoderBug(
        "above AV1: all weights may be zero",
        BASE_JOB,
        "if weights is not None and not any(mask.any() for mask in weights):",
        "if False:",
        ("tests/encoding/test_av1_encode.py::test_weights",),
    ),
    EncoderBug(
        "above AV1: PICTURE converts by BT.601",
        BASE_JOB,
        "CENTRED, matrix_of(clip.color.matrix), 0, 0",
        "CENTRED, 6, 0, 0",
        ("tests/encoding/test_av1_encode.py::test_a_source_says_its_matrix",),
    ),
]

#: The way to a target, interruptions, and what a file says of itself.
AV1_TARGETS = [
    EncoderBug(
        "crf: proposals outside what is known",
        CRF_SEARCH,
        "proposed = min(max(round(proposed / CRF_STEP) * CRF_STEP, above + CRF_STEP), below - CRF_STEP)",
        "proposed = round(proposed / CRF_STEP) * CRF_STEP",
        CRF_TESTS,
    ),
    EncoderBug(
        "crf: a larger file rather than a smaller one",
        CRF_SEARCH,
        "value > self.high if self.rather_below else value < self.low",
        "value < self.low if self.rather_below else value > self.high",
        CRF_TESTS,
    ),
    EncoderBug(
        "crf: a flat place has no slope",
        CRF_SEARCH,
        "return min(measured, LEAST_SLOPE_SHARE * self.target.slope)",
        "return measured",
        CRF_TESTS,
    ),
    EncoderBug(
        "crf: the target of a size is that of its bytes",
        CRF_SEARCH,
        "math.log(least_share * file_bytes), math.log(file_bytes)",
        "least_share * file_bytes, float(file_bytes)",
        CRF_TESTS,
    ),
    EncoderBug(
        "AV1 size: what networks take is not learned",
        BASE_JOB,
        "EXPECTED_ABOVE_BYTES if last is None else",
        "EXPECTED_ABOVE_BYTES if True else",
        CORRECTION_JOB_TESTS,
    ),
    EncoderBug(
        "AV1 quality: what networks gain is not learned",
        BASE_JOB,
        "EXPECTED_GAIN if last is None else",
        "EXPECTED_GAIN if True else",
        CORRECTION_JOB_TESTS,
    ),
    EncoderBug(
        "AV1 target: the last file is taken",
        BASE_JOB,
        "best = files[target.best(values)] if files",
        "best = files[crf] if files",
        CORRECTION_JOB_TESTS,
    ),
    EncoderBug(
        "AV1 target: goes on after an interruption",
        BASE_JOB,
        "if target.met_by(values[crf]) or last.interrupted:",
        "if target.met_by(values[crf]):",
        CORRECTION_JOB_TESTS,
    ),
    EncoderBug(
        "AV1 target: the search takes all the time",
        BASE_JOB,
        "known_or_expected, is_time)",
        "known_or_expected)",
        CORRECTION_JOB_TESTS,
    ),
    EncoderBug(
        "AV1 sizes: the first has all the time",
        BASE_JOB,
        "with self.task.clock.share(1 / files):",
        "with self.task.clock.share(1):",
        CORRECTION_JOB_TESTS,
    ),
    EncoderBug(
        "AV1 interruption: a later stream leaves no file",
        BASE_JOB,
        'if self.config.on_interrupt == "write" and self.last is not None:',
        "if False:",
        ("tests/encoding/test_av1_encode.py::test_interrupted_in_a_later_stream",),
    ),
    EncoderBug(
        "AV1 interruption: a checkpoint of nothing",
        BASE_JOB,
        "if self.cache.path is not None and self.cache.streams:",
        "if self.cache.path is not None:",
        ("tests/encoding/test_av1_encode.py::test_interrupted_in_the_stream",),
    ),
    EncoderBug(
        "AV1 resume: the stream is made again",
        BASE_JOB,
        "if name not in self.cache.streams:",
        "if True:",
        ("tests/encoding/test_av1_encode.py::test_interrupted_and_resumed",),
    ),
    EncoderBug(
        "AV1 metadata: as long as it likes",
        BASE_JOB,
        "<= max(most_bytes, MIN_METADATA)",
        "<= 10**9",
        CORRECTION_JOB_TESTS,
    ),
    EncoderBug(
        "AV1 metadata: whole rate factors",
        BASE_JOB,
        "return int(number) if number.is_integer() else number",
        "return int(number)",
        CORRECTION_JOB_TESTS,
    ),
]

#: What is written, and how it is verified.
AV1_OUTPUTS = [
    EncoderBug(
        "verification: times are not compared",
        VERIFICATION,
        "if stream.ticks != clip.ticks:",
        "if False:",
        ("tests/encoding/test_verification.py",),
    ),
    EncoderBug(
        "verification: PSNR of the worst frame",
        VERIFICATION,
        "sum(psnrs) / len(psnrs)",
        "min(psnrs)",
        ("tests/encoding/test_verification.py",),
    ),
    EncoderBug(
        "verification: only layer 0",
        VERIFICATION,
        "stream.video.seed, device, stream.layers, bits",
        "stream.video.seed, device, bits",
        ("tests/encoding/test_verification.py",),
    ),
    EncoderBug(
        "AV1 file: every packet is a key frame",
        AV1_FILES,
        "stream, time_base, unit.key",
        "stream, time_base, True",
        AV1_FILE_TESTS,
    ),
    EncoderBug(
        "AV1 file: durations are lost",
        AV1_FILES,
        "packet.duration = unit.duration",
        "packet.duration = 0",
        AV1_FILE_TESTS,
    ),
    EncoderBug(
        "AV1 file: sample aspect is lost",
        AV1_FILES,
        "stream.sample_aspect_ratio = sample_aspect",
        "stream.sample_aspect_ratio = 1",
        AV1_FILE_TESTS,
    ),
    EncoderBug(
        "extract: an existing file is replaced",
        CLI_READING,
        "if os.path.exists(output) and not overwrite:",
        "if False:",
        ("tests/cli/test_cli_av1.py::test_extract_base_refuses",),
    ),
    EncoderBug(
        "extract: times of the first frames",
        WRAPPING,
        "*next(ticks), key",
        "index, 1, key",
        ("tests/cli/test_cli_av1.py::test_extract_base_keeps_times",),
    ),
]

TRACK_TESTS = ("tests/video/test_tracks.py",)
EXTRAS = [
    EncoderBug(
        "tracks: packets outside the window",
        TRACK_READER,
        "(self.end is None or seconds < self.end)",
        "(self.end is None or seconds <= self.end)",
        ("tests/video/test_tracks.py::test_bounds_of_a_window",),
    ),
    EncoderBug(
        "tracks: packets without their own time",
        TRACK_READER,
        "time = ends[number] if stamp is None else stamp",
        "time = ends[number]",
        TRACK_TESTS,
    ),
    EncoderBug(
        "tracks: private tags travel",
        TRACK_READER,
        "if key in TAGS and value",
        "if value",
        TRACK_TESTS,
    ),
    EncoderBug(
        "tracks: what is heard before 0 moves everything",
        TRACK_MUXER,
        "return max(Fraction(0), self.origin - first * track.time_base)",
        "return Fraction(0)",
        TRACK_TESTS,
    ),
    EncoderBug(
        "tracks: sound is not shifted with the video",
        TRACK_MUXER,
        "packet.time - round(origin / base)",
        "packet.time",
        TRACK_TESTS,
    ),
    EncoderBug(
        "tracks: bits per sample of PCM",
        TRACK_TEMPLATES,
        '(_element("6264", bits) if bits else b"")',
        'b""',
        TRACK_TESTS,
    ),
    EncoderBug(
        "tracks: targets do not count them",
        SOURCE_EXTRAS,
        "tuple(t - taken for t in targets)",
        "tuple(t for t in targets)",
        ("tests/cli/test_cli_tracks.py::test_targets_count_the_sound",),
    ),
    EncoderBug(
        "wrap: what players have is there twice",
        WRAPPING,
        "copies += [(start, offset - begin, size) for start, offset, size in found]",
        "copies += []",
        ("tests/cli/test_cli_wrap.py::test_round_trip",),
    ),
    EncoderBug(
        "AV1 file: begins at the first frame's own time",
        AV1_FILES,
        "origin = units[0].pts",
        "origin = 0",
        TRACK_TESTS,
    ),
]

READING = [
    EncoderBug(
        "reading: mirrored after a transposition",
        ORIENTATION,
        "return Orientation(transpose, to_x < 0, to_y < 0)",
        "return Orientation(transpose, to_y < 0, to_x < 0)",
        ("tests/video/test_orientation.py",),
    ),
    EncoderBug(
        "reading: a matrix of zeros turns",
        ORIENTATION,
        "if to_x and to_y and max",
        "if max",
        ("tests/video/test_orientation.py",),
    ),
    EncoderBug(
        "reading: samples that are turned",
        SOURCE_FRAME,
        "return 1 / self.coded_aspect if orientation_of",
        "return self.coded_aspect if orientation_of",
        ("tests/video/test_orientation.py",),
    ),
    EncoderBug(
        "reading: equal time stamps",
        TIMING,
        "if time is not None and time <= latest:",
        "if time is not None and time < latest:",
        ("tests/video/test_timing.py",),
    ),
    EncoderBug(
        "reading: time stamps that begin anew",
        TIMING,
        "time, offset = expected, offset + expected - time",
        "time = expected",
        ("tests/video/test_timing.py",),
    ),
    EncoderBug(
        "reading: the last frame's duration",
        TIMING,
        "return (frames[-1].duration if frames[-1].pts is not None else 0) or typical_duration",
        "return typical_duration",
        ("tests/video/test_timing.py",),
    ),
    EncoderBug(
        "reading: frames that the decoder still holds",
        VIDEO_FILE,
        "                yield from self.stream.decode(None)\n                return",
        "                return",
        ("tests/video/test_damaged_sources.py",),
    ),
    EncoderBug(
        "reading: several threads decode",
        VIDEO_FILE,
        "self.stream.codec_context.thread_count = 1",
        "self.stream.codec_context.thread_count = 2",
        ("tests/video/test_damaged_sources.py",),
    ),
    EncoderBug(
        "reading: frames that an edit list hides",
        FILE_LOSSES,
        "sum(not entry.is_discard for entry in index)",
        "len(index)",
        ("tests/video/test_damaged_sources.py",),
    ),
    EncoderBug(
        "reading: frames that decode in part",
        VIDEO_FILE,
        "losses.damaged += frame.is_corrupt",
        "losses.damaged += 0",
        ("tests/video/test_damaged_sources.py",),
    ),
    EncoderBug(
        "reading: gaps among every tenth picture",
        IMAGE_SEQUENCE,
        "if step > min(steps)]",
        "if step > 1]",
        ("tests/video/test_damaged_sources.py",),
    ),
    EncoderBug(
        "reading: hidden files are pictures",
        IMAGE_SEQUENCE,
        'if not entry.name.startswith(".")]',
        "]",
        ("tests/video/test_damaged_sources.py",),
    ),
    EncoderBug(
        "reading: levels are cut, not rounded",
        "samples.py",
        "levels.add_(0.5).clamp_",
        "levels.clamp_",
        ("tests/video/test_frame_to_rgb.py",),
    ),
    EncoderBug(
        "reading: chroma in the middle",
        SOURCE_FRAME,
        "return stream.codec_context.codec.canonical_name in CENTRED_CHROMA",
        "return True",
        ("tests/video/test_frame_to_rgb.py",),
    ),
    EncoderBug(
        "reading: the last column of chroma",
        FRAME_TO_RGB,
        "edge = 0 if before else count - 1",
        "edge = 0",
        ("tests/video/test_frame_to_rgb.py",),
    ),
    EncoderBug(
        "reading: full range of grey",
        FRAME_TO_RGB,
        "full |= grey and int(frame.color_range) != LIMITED",
        "full |= False",
        ("tests/video/test_frame_to_rgb.py",),
    ),
    EncoderBug(
        "reading: the interval of a selection",
        SOURCE,
        "if not number % selection.every:",
        "if number % selection.every == selection.every - 1:",
        ("tests/video/test_selection.py",),
    ),
    EncoderBug(
        "reading: the frame at the end",
        SOURCE,
        "(end is not None and seconds >= end)",
        "(end is not None and seconds > end)",
        ("tests/video/test_selection.py",),
    ),
    EncoderBug(
        "reading: an end without a start",
        SELECTION,
        "return first + _exact(self.duration)",
        "return _exact(self.duration)",
        ("tests/video/test_selection.py",),
    ),
    EncoderBug(
        "reading: where frames with a later stamp were decoded first",
        SEEKING,
        "seen[number] <= packet.dts",
        "True",
        ("tests/video/test_selection.py",),
    ),
    EncoderBug(
        "reading: progressive frames are deinterlaced",
        DEINTERLACING,
        "parity=auto:deint=interlaced",
        "parity=auto:deint=all",
        ("tests/video/test_selection.py",),
    ),
    EncoderBug(
        "reading: the last deinterlaced frame",
        DEINTERLACING,
        "    if bwdif:\n        yield from bwdif.end()\n\n\n",
        "    del bwdif\n\n\n",
        ("tests/video/test_selection.py",),
    ),
    EncoderBug(
        "reading: what is refused is only told at the end",
        ENCODE_JOB,
        "check_capacity(config, reading.least, reading.width, reading.height)",
        "check_capacity(config, 1, reading.width, reading.height)",
        ("tests/encoding/test_capacity.py",),
    ),
    EncoderBug(
        "reading: frames are counted where times say which part it is",
        SOURCE,
        "if selection.counts_frames else 0",
        "if selection else 0",
        ("tests/encoding/test_capacity.py",),
    ),
    EncoderBug(
        "fit: fixing the latents is taken for training steps",
        FIT,
        "with clock.phase(OVERHEAD):",
        "with clock.phase(STEPS):",
        ("tests/encoding/test_run.py::test_a_short_limit_is_used",),
    ),
]

TEN_BIT_FILES, TEN_BIT_ENCODES = ("tests/video/test_ten_bits.py",), ("tests/encoding/test_ten_bit_encode.py",)
HDR_TESTS = ("tests/video/test_hdr.py",)
TEN_BITS = [
    EncoderBug(
        "10 bits: read as 8",
        "video/source_frame.py",
        "return 8 if bits_of_frame(self.frame) <= 8 else 10",
        "return 8",
        TEN_BIT_FILES,
    ),
    EncoderBug(
        "10 bits: 12 bits are 8",
        "video/source_frame.py",
        "return 8 if bits_of_frame(self.frame) <= 8 else 10",
        "return 10 if bits_of_frame(self.frame) in (9, 10) else 8",
        TEN_BIT_FILES,
    ),
    EncoderBug("10 bits: any samples from Python", "video/pictures.py", "> peak_of(10):", "> 65535:", TEN_BIT_FILES),
    EncoderBug(
        "10 bits: scaled pictures have the peak of 8",
        "video/transform.py",
        "clamp(0, peak_of(bits_of(picture)))",
        "clamp(0, 255)",
        TEN_BIT_FILES,
    ),
    EncoderBug(
        "10 bits: PNG is 64 times as much",
        "video/png_sinks.py",
        "(picture.astype(np.uint32) * WHITE + peak_of(bits) // 2) // peak_of(bits)",
        "picture.astype(np.uint32) * 64",
        TEN_BIT_FILES,
    ),
    EncoderBug(
        "10 bits: FFV1 with red and blue swapped",
        "video/frame_converters.py",
        "planes_to_frame((green, blue, red), self.bits",
        "planes_to_frame((green, red, blue), self.bits",
        TEN_BIT_FILES,
    ),
    EncoderBug(
        "10 bits: y4m says 8",
        "video/byte_sinks.py",
        '"C444" if self.bits == 8 else "C444p10 XYSCSS=444P10"',
        '"C444"',
        TEN_BIT_FILES,
    ),
    EncoderBug(
        "10 bits: rounded to 8 by cutting",
        "samples.py",
        "levels = levels.add_(0.5).clamp_(0, peak_of(bits))",
        "levels = levels.clamp_(0, peak_of(bits))",
        TEN_BIT_FILES,
    ),
    EncoderBug(
        "10 bits: measured by the peak of 8",
        "metrics.py",
        "picture.double() * (255 / peak_of(10))",
        "picture.double()",
        TEN_BIT_ENCODES,
    ),
    EncoderBug(
        "10 bits: crops in levels of 8",
        CROPS,
        "return 1.0 if bits == 8 else 1 / QUARTERS",
        "return 1.0",
        TEN_BIT_ENCODES,
    ),
    EncoderBug(
        "10 bits: an AV1 stream by PICTURE",
        "encoding/av1/correction_job.py",
        "kind = Picture if self.task.clip.bits == 8 else Picture10",
        "kind = Picture",
        TEN_BIT_ENCODES,
    ),
    EncoderBug(
        "10 bits: the head's unit of 8",
        "encoding/export/network_export.py",
        "return builder.convolve(conv, index, 2.0**-shift, bits, (0, peak)",
        "return builder.convolve(conv, index, 2.0**-shift, 8, (0, peak)",
        TEN_BIT_ENCODES,
    ),
    EncoderBug(
        "10 bits: imported by the head of 8",
        "encoding/fit/warm_start.py",
        ".layers[0], video.stream.video.bits)",
        ".layers[0], 8)",
        TEN_BIT_ENCODES,
    ),
    EncoderBug(
        "HDR: most and least luminance swapped",
        "video/hdr.py",
        "*points, least, most = (max",
        "*points, most, least = (max",
        HDR_TESTS,
    ),
    EncoderBug(
        "HDR: red and green swapped for encoders",
        "video/hdr.py",
        "red, green, blue, white = (",
        "green, red, blue, white = (",
        HDR_TESTS,
    ),
    EncoderBug(
        "HDR: not in the AV1 stream",
        "encoding/av1/base_job.py",
        "            clip.hdr or clip.extras.hdr,\n",
        "",
        HDR_TESTS,
    ),
    EncoderBug("HDR: lost with a part", "tracks.py", "self.tags, hdr=self.hdr)", "self.tags)", HDR_TESTS),
]

AV1 = [*AV1_STREAMS, *AV1_LOSSES, *AV1_NETWORKS, *AV1_TARGETS, *AV1_OUTPUTS]

BUGS = [
    *OPTIONS,
    *JOBS,
    *SIZES,
    *BUDGET_BUGS,
    *RATE,
    *TARGETS,
    *FITS,
    *QUANTISATION,
    *SHARED,
    *MEASURES,
    *AV1,
    *EXTRAS,
    *READING,
    *TEN_BITS,
]
