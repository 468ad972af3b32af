#include "key_figures.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string_view>

#include "knlp/core/stats.h"

namespace knlp::report {

using nlohmann::json;

namespace {

bool is_yes(const RunData& run, std::initializer_list<const char*> pointers) {
    return run.text(pointers) == "yes";
}

/// True when a shell and make take `text` as one word that stands for itself.
bool is_plain(const std::string& text) {
    const auto plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               std::string_view("_-+=./,:@%").find(c) != std::string_view::npos;
    };
    return !text.empty() && std::all_of(text.begin(), text.end(), plain);
}

/// `text` as one word of a shell command.
std::string shell_word(const std::string& text) {
    if (is_plain(text)) return text;
    std::string out = "'";
    for (char c : text) c == '\'' ? out += "'\\''" : out += c;
    return out + "'";
}

void fill_losses(KeyFigures& key, const RunData& run) {
    for (const EvalPoint& eval : run.evals) {
        if (!std::isfinite(eval.val_loss)) continue;
        key.val_loss = eval.val_loss;
        key.val_se = eval.val_se;
        key.val_step = eval.step;
        if (!(eval.val_loss >= key.best_loss)) {  // true as well while best_loss is NaN
            key.best_loss = eval.val_loss;
            key.best_step = eval.step;
        }
    }
    if (!std::isfinite(key.val_loss)) {
        key.val_loss = run.number({"/final_val_loss", "/val_loss"});
        key.val_se = run.number({"/final_val_se", "/val_se"});
        key.best_loss = run.number({"/best_val_loss"});
    }
    if (!run.train.empty()) key.train_loss = run.train.back().loss;
    if (std::isfinite(key.val_loss)) key.perplexity = std::exp(std::min(key.val_loss, 20.0));
}

double median_speed(const RunData& run) {
    std::vector<double> speeds;
    for (const TrainPoint& point : run.train)
        if (std::isfinite(point.tokens_per_s)) speeds.push_back(point.tokens_per_s);
    return speeds.empty() ? run.number({"/tokens_per_s"}) : median(speeds);
}

/// `text` as the value of a variable of make, which reads `$` itself.
std::string make_word(const std::string& text) {
    std::string out;
    for (const char c : text) c == '$' ? out += "$$" : out += c;
    return shell_word(out);
}

/// "--init-from DIR" of a run that did not begin with random weights, else "".
std::string init_from_option(const RunData& run) {
    const std::string from = started_from(run);
    return from.empty() ? "" : "--init-from " + shell_word(from);
}

/// Overrides of the first attempt, so that the preset leads to the same configuration. What make
/// cannot split at blanks goes to knlp as it is.
std::string make_arguments(const RunData& run) {
    std::string set, extra = init_from_option(run);
    for (const Setting& s : run.settings) {
        if (s.origin != "make" && s.origin != "cli" && s.origin != "flag" && s.origin != "env")
            continue;
        const std::string assignment = fmt::format("{}={}", s.name, s.value);
        std::string& to = is_plain(assignment) ? set : extra;
        if (!to.empty()) to += " ";
        to += &to == &set ? assignment : "--set " + shell_word(assignment);
    }
    return (set.empty() ? "" : " SET=" + shell_word(set)) +
           (extra.empty() ? "" : " EXTRA_ARGS=" + make_word(extra));
}

const json& attempts_of(const RunData& run) {
    static const json none = json::array();
    const json* attempts = run.find("/attempts");
    return attempts != nullptr && attempts->is_array() ? *attempts : none;
}

std::string text_at(const json& object, const char* name, const char* absent) {
    const auto found = object.find(name);
    return found != object.end() && found->is_string() ? found->get<std::string>() : absent;
}

/// What an attempt changed: "LEARNING_RATE=5e-3 (was 1e-2), …".
std::string changes_of(const json& attempt, const json& before) {
    std::string out;
    const auto add = [&out](const std::string& part) { out += (out.empty() ? "" : ", ") + part; };
    if (const auto changed = attempt.find("changed_symbols");
        changed != attempt.end() && changed->is_array())
        for (const json& change : *changed)
            if (change.is_object())
                add(fmt::format("{}={} (was {})", text_at(change, "name", "?"),
                                text_at(change, "new", "off"), text_at(change, "old", "off")));
    if (const auto data = attempt.find("replaced_data");
        data != attempt.end() && data->is_array() && !data->empty())
        add("other data");
    const auto budgets = attempt.find("budgets"), earlier = before.find("budgets");
    if (budgets != attempt.end() && earlier != before.end() && *budgets != *earlier)
        add("another budget, which the schedule follows");
    return out;
}

/// Lines of what each attempt changed in the run.
std::vector<std::string> changes(const RunData& run) {
    std::vector<std::string> out;
    const json* before = nullptr;
    for (const json& attempt : attempts_of(run)) {
        if (!attempt.is_object()) continue;
        const std::string text = before != nullptr ? changes_of(attempt, *before) : "";
        const auto step = attempt.find("from_step");
        if (!text.empty())
            out.push_back(fmt::format("from step {} on: {}",
                                      step != attempt.end() ? step->dump() : "?", text));
        before = &attempt;
    }
    return out;
}

}  // namespace

std::string started_from(const RunData& run) {
    const json* parents = run.find("/parents");
    if (parents == nullptr || !parents->is_array()) return "";
    for (const json& parent : *parents) {
        if (!parent.is_object() || text_at(parent, "kind", "") != "init_from") continue;
        const std::filesystem::path path = text_at(parent, "path", "");
        // Short below the tree, where commands are pasted: <tree>/results/runs/<run>.
        const std::filesystem::path tree = run.directory.parent_path().parent_path().parent_path();
        const std::filesystem::path near = path.lexically_relative(tree);
        const bool below = run.directory.string().ends_with(run.display_path) &&
                           run.display_path != run.directory.string() && !near.empty() &&
                           *near.begin() != "..";
        return below ? near.string() : path.string();
    }
    return "";
}

KeyFigures key_figures(const RunData& run) {
    KeyFigures key;
    key.state =
        run.status.is_object() && run.status.contains("state") && run.status["state"].is_string()
            ? run.status["state"].get<std::string>()
            : run.text({"/state"});
    if (key.state.empty()) key.state = "unknown";
    key.exit = run.text({"/exit"});
    fill_losses(key, run);
    const bool bytes = run.text({"/tokenizer/kind"}) == "byte";
    key.loss_unit = bytes ? "nats/byte" : "nats/token";
    key.bits_per_byte = run.number({"/final_bits_per_byte", "/bits_per_byte"});
    // A byte is a token here, so the conversion needs nothing else.
    if (!std::isfinite(key.bits_per_byte) && bytes)
        key.bits_per_byte = key.val_loss / std::numbers::ln2;
    if (!run.train.empty()) {
        key.steps = run.train.back().step + 1;
        key.tokens = run.train.back().tokens;
    }
    if (!run.evals.empty() && run.evals.back().step >= key.steps) {
        key.steps = run.evals.back().step;
        if (std::isfinite(run.evals.back().tokens)) key.tokens = run.evals.back().tokens;
    }
    if (run.saved.step > key.steps) {  // it was stopped between two lines of the log
        key.steps = run.saved.step;
        key.tokens = static_cast<double>(run.saved.tokens);
    }
    if (const double steps = run.number({"/steps"}); steps > 0)
        key.steps = static_cast<int64_t>(steps);
    if (const double tokens = run.number({"/tokens"}); tokens > 0) key.tokens = tokens;
    key.wall_s = run.number({"/total_time", "/wall_s"});
    // An interrupted run has no total: how far its last event got is known.
    if (!std::isfinite(key.wall_s) && !run.train.empty()) key.wall_s = run.train.back().elapsed_s;
    key.parameters = run.number({"/parameters/total", "/parameters", "/params"});
    key.peak_rss_bytes = run.number({"/peak_rss_bytes"});
    for (const TrainPoint& point : run.train)
        if (!(point.rss_bytes <= key.peak_rss_bytes) && std::isfinite(point.rss_bytes))
            key.peak_rss_bytes = point.rss_bytes;
    key.tokens_per_s = median_speed(run);
    return key;
}

std::vector<std::string> caveats(const RunData& run) {
    std::vector<std::string> out;
    if (const std::string why = run.text({"/data/substitute"}); !why.empty())
        out.push_back(fmt::format("Substitute data: {}", why));
    if (is_yes(run, {"/data/synthetic"}))
        out.emplace_back(
            "Synthetic data: the text was generated, its losses say nothing about language.");
    if (is_yes(run, {"/git_dirty"}))
        out.emplace_back(
            "The source tree had uncommitted changes: the revision alone does not repeat this "
            "run.");
    if (const std::vector<std::string> changed = changes(run); !changed.empty())
        out.push_back(fmt::format("Trained under more than one configuration: {}.",
                                  fmt::join(changed, "; ")));
    return out;
}

std::string failure(const RunData& run) {
    if (key_figures(run).state != "failed") return "";
    const std::string reason = run.text({"/reason"});
    return reason.empty() ? "the reason was not recorded" : reason;
}

std::string watermark(const RunData& run) {
    if (is_yes(run, {"/data/synthetic"})) return "SYNTHETIC DATA";
    return run.text({"/data/substitute"}).empty() ? "" : "SUBSTITUTE DATA";
}

std::string subject_line(const RunData& run) {
    std::string out;
    const auto add = [&](const std::string& part) {
        if (!part.empty()) out += (out.empty() ? "" : " · ") + part;
    };
    add(run.text({"/model"}));
    add(run.text({"/optimizer"}));
    add(run.text({"/data/name", "/data/wanted"}));
    if (const std::string kind = run.text({"/tokenizer/kind"}); !kind.empty())
        add(kind + " tokenizer");
    if (const std::string preset = run.text({"/preset"}); !preset.empty()) add("preset " + preset);
    return out;
}

std::vector<Command> commands_of(const RunData& run) {
    const std::string dir = shell_word(run.display_path);
    std::vector<Command> out;
    const std::string revision = run.text({"/git_commit"});
    if (!revision.empty())
        out.push_back({"the same source", "git checkout " + shell_word(revision)});
    const std::string start = init_from_option(run);
    out.push_back({changes(run).empty() ? "the same run again"
                                        : "a run under its last configuration alone; this one was "
                                          "trained under more than one",
                   fmt::format("make build && ./knlp train --config {}/config{}{}", dir,
                               start.empty() ? "" : " ", start)});
    const std::string preset = run.text({"/preset"});
    if (!preset.empty())
        out.push_back(
            {"the same from its preset",
             fmt::format("make defconfig-{} && make{}", shell_word(preset), make_arguments(run))});
    const std::string state = key_figures(run).state;
    if (state == "preempted" || state == "failed" || state == "running")
        out.push_back({"go on with it", "./knlp train --resume " + dir});
    out.push_back({"write text with it",
                   fmt::format("./knlp generate --model {} --prompt 'The kernel'", dir)});
    out.push_back(
        {"measure its loss again", fmt::format("./knlp eval --model {} --task loss", dir)});
    out.push_back({"this page again", "./knlp report " + dir});
    return out;
}

}  // namespace knlp::report
