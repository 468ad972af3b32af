// What going on with a run starts from, once configuration and data are seen to be the run's own.
#include "resume.h"

#include "describe.h"
#include "record.h"
#include "shape.h"
#include "tensors.h"

#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/model/model_files.h"
#include "knlp/model/weights.h"
#include "knlp/train/checkpoint.h"

#include <fmt/ranges.h>

namespace knlp::train {

namespace fs = std::filesystem;

namespace {

/// The instruction set that the environment asks for, where the checkpoint has another; or "".
std::string other_isa(const Choices& recorded) {
    const std::optional<Isa> asked = asked_isa();
    if (!asked || recorded.isa.empty() || recorded.isa == name_of(*asked)) return "";
    return name_of(*asked);
}

/// Error{kConfig, "E_RESUME_MISMATCH"} unless the configuration is that of the run, or may differ.
void compare_configuration(Changes& changes, const config::Symbols& symbols,
                           const config::Symbols& before, const Choices& recorded,
                           const TrainRequest& request) {
    const auto value = [](const config::Symbols& from, const std::string& name) {
        const auto found = from.values().find(name);
        return found == from.values().end() ? std::nullopt : std::optional(found->second);
    };
    std::vector<std::string> texts;
    const auto add = [&](const track::Manifest::Change& change) {
        texts.push_back(fmt::format("{}={} (was {})", change.name, change.now.value_or("off"),
                                    change.before.value_or("off")));
        changes.attempt.changed_symbols.push_back(change);
    };
    for (const std::string& name : symbols.differences(before))
        add({name, value(before, name), value(symbols, name)});
    if (const std::string isa = other_isa(recorded); !isa.empty())
        add({"KNLP_ISA", recorded.isa, isa});
    if (texts.empty()) return;
    const std::string list = fmt::format("{}", fmt::join(texts, ", "));
    if (!request.allow_config_change)
        fail_code(kConfig, "E_RESUME_MISMATCH",
                  "{}: the configuration differs from the run's: {}; undo it, or "
                  "give --allow-config-change to go on with it",
                  request.resume.string(), list);
    changes.notes.push_back("going on with a changed configuration: " + list);
}

/// Error{kData} unless the tokens are those the run began with, or may differ.
void compare_data(Changes& changes, const Session& s, const TrainRequest& request) {
    const std::string change = changed_data(s, request.resume);
    if (change.empty()) return;
    if (!request.allow_config_change)
        fail(kData, "{}: {}; put them back, or give --allow-config-change to go on with these",
             request.resume.string(), change);
    changes.notes.push_back("going on with other data: " + change);
    changes.attempt.replaced_data = recorded_data(request.resume);
}

/// Says so when a step is no longer what it was.
void note_batch(Changes& changes, const Session& s, const StateFile& file) {
    const int64_t before = file.choices.micro * file.choices.accumulation;
    if (before == s.batch.effective()) return;
    changes.notes.push_back(
        fmt::format("a step takes {} sequences from step {} on, {} before; {} tokens were seen",
                    s.batch.effective(), file.resume.step, before, file.resume.tokens));
}

/// What the checkpoint recorded, less what the configuration leaves no choice about. A pin is
/// obeyed whatever the run's configuration was: an attempt that ended before its first save wrote
/// it there.
Choices kept_choices(const config::Symbols& symbols, const config::Symbols& before,
                     const Choices& recorded) {
    Choices kept = recorded;
    if (!symbols.differences(before).empty()) kept.micro = kept.accumulation = 0;
    const int64_t threads = config::read_general(symbols).num_threads;
    if (threads > 0 || threads != config::read_general(before).num_threads) kept.threads = 0;
    const std::string gemm = config::read_train(symbols).gemm;
    if (gemm != "auto" || gemm != config::read_train(before).gemm) kept.gemm.clear();
    if (const std::string isa = other_isa(recorded); !isa.empty()) {
        kept.isa = isa;
        kept.bf16_dot_products.reset();
    }
    return kept;
}

/// The parent a run was started from: its record keeps it, and without a checkpoint the run begins
/// there again.
track::Manifest::Parent initial_weights_of(const fs::path& run) {
    if (!fs::exists(run / "manifest.json")) return {};
    return manifest_parent(run, "init_from");
}

/// Error{kData} unless the weights are those the run began with, or may differ.
void compare_weights(Changes& changes, const track::Manifest::Parent& parent,
                     const TrainRequest& request) {
    if (parent.sha256.empty()) return;
    const std::string found = model::weights_sha256(model::find_model(parent.path).weights);
    if (found == parent.sha256) return;
    const std::string change =
        fmt::format("{}: SHA-256 of the weights is {}, the run began with {}", parent.path, found,
                    parent.sha256);
    if (!request.allow_config_change)
        fail(kData, "{}; put them back, or give --allow-config-change to begin with these", change);
    changes.notes.push_back("beginning with other weights: " + change);
}

void load_checkpoint(Session& s, const fs::path& checkpoint, const StateFile& file) {
    if (file.optimizer != s.optimizer_options.name)
        fail_code(kConfig, "E_RESUME_MISMATCH",
                  "{}: its optimizer is {}, the configuration wants {}; a "
                  "new optimizer starts with --init-from",
                  checkpoint.string(), file.optimizer, s.optimizer_options.name);
    model::load_weights(checkpoint / "model.safetensors", *s.gpt2, !s.model.weight_tying);
    read_optimizer(checkpoint / "optim.safetensors", *s.optimizer);
    s.optimizer->load_scalars(file.optimizer_scalars);
}

}  // namespace

Resumed resume_session(const config::Symbols& symbols, const TrainRequest& request) {
    const config::Symbols before = config::Symbols::load(request.resume / "config", {});
    Resumed resumed{.parent = initial_weights_of(request.resume), .asked = request};
    const std::optional<CheckpointInfo> checkpoint =
        newest_checkpoint(request.resume, resumed.changes.notes);
    resumed.from_checkpoint = checkpoint.has_value();
    StateFile file;
    if (checkpoint)
        file = read_state_file(checkpoint->path / "state.json");
    else
        resumed.asked.init_from = resumed.parent.path;
    compare_configuration(resumed.changes, symbols, before, file.choices, request);
    resumed.state = file.resume;
    resumed.changes.attempt.from_step = file.resume.step;

    const bool begins_planned = !checkpoint && request.choices;
    resumed.session = prepare_session(
        symbols, resumed.asked,
        begins_planned ? *request.choices : kept_choices(symbols, before, file.choices));
    Session& s = resumed.session;
    if (checkpoint) require_same_shape(checkpoint->path, file.model, s.model, Head::kSame);
    if (!request.dry_run) compare_data(resumed.changes, s, request);  // a dry run has no data
    plan_resources(s, resumed.asked, request.resume);
    build_model(s);
    if (checkpoint) {
        load_checkpoint(s, checkpoint->path, file);
        s.batch_of_memory = false;  // a smaller one begins anew, which would lose these weights
        note_batch(resumed.changes, s, file);
    } else if (!resumed.asked.init_from.empty()) {
        compare_weights(resumed.changes, resumed.parent, request);
        load_initial_weights(s, resumed.asked.init_from);
    }
    return resumed;
}

}  // namespace knlp::train
