#include "page_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "format.h"
#include "key_figures.h"

namespace knlp::report {
namespace {

using nlohmann::json;

/// More of a sample than this is not read; the file itself holds all of it.
constexpr size_t kMaxSampleBytes = 3000;
constexpr size_t kMaxValueBytes = 2000;

/// One line of the list of facts; nothing where the value is not known.
void fact(std::string& out, std::string_view name, const std::string& value, bool code = false) {
    if (value.empty()) return;
    const std::string text = escape(clip_text(value, kMaxValueBytes));
    out += fmt::format("<dt>{}</dt><dd>{}</dd>\n", escape(name),
                       code ? "<code>" + text + "</code>" : text);
}

std::string count_text(const RunData& run, std::initializer_list<const char*> pointers,
                       const char* unit) {
    const double value = run.number(pointers);
    return std::isfinite(value) ? fmt::format("{} {}", grouped(static_cast<int64_t>(value)), unit)
                                : "";
}

void file_facts(std::string& out, const RunData& run) {
    const json* files = run.find("/data/files");
    if (files == nullptr || !files->is_array()) return;
    for (const json& file : *files) {
        if (!file.is_object()) continue;
        const auto text = [&](const char* key) {
            const auto found = file.find(key);
            return found != file.end() && found->is_string() ? found->get<std::string>()
                                                             : std::string();
        };
        out += fmt::format("<dt>{} file</dt><dd>{}<br/><code>{}</code></dd>\n",
                           escape(text("role")), escape(text("path")), escape(text("sha256")));
    }
}

/// Every scalar of a JSON value with its path, in order of the keys.
void flatten(const json& value, const std::string& path,
             std::vector<std::pair<std::string, std::string>>& out) {
    if (value.is_structured()) {
        for (const auto& [key, item] : value.items())
            flatten(item, path.empty() ? key : path + "." + key, out);
    } else if (!value.is_null()) {
        out.emplace_back(path, value.is_string() ? value.get<std::string>() : value.dump());
    }
}

std::string whole_manifest(const RunData& run) {
    std::vector<std::pair<std::string, std::string>> rows;
    flatten(run.manifest, "", rows);
    if (rows.empty()) return "";
    std::string out = fmt::format(
        "<details class=\"inner\"><summary>All {} fields of manifest.json</summary>\n"
        "<table><thead><tr><th>field</th><th>value</th></tr></thead><tbody>\n",
        rows.size());
    for (const auto& [path, value] : rows)
        out += fmt::format("<tr><td>{}</td><td>{}</td></tr>\n", escape(path),
                           escape(clip_text(value, kMaxValueBytes)));
    return out + "</tbody></table></details>\n";
}

}  // namespace

std::string sample_section(const RunData& run) {
    if (run.samples.empty()) return "";
    const std::string_view shown = clip_text(run.samples, kMaxSampleBytes);
    std::string out = fmt::format("<section>\n<h2>Sample</h2>\n<pre>{}</pre>\n", escape(shown));
    if (shown.size() < run.samples.size())
        out += fmt::format(
            "<p class=\"note\">The first {} of {} bytes; samples.txt has all of it.</p>\n",
            grouped(std::ssize(shown)), grouped(std::ssize(run.samples)));
    return out + "</section>\n";
}

std::string commands_section(const RunData& run) {
    std::string out = "<section>\n<h2>Repeat it, use it</h2>\n<ul class=\"commands\">\n";
    for (const Command& command : commands_of(run))
        out += fmt::format("<li><span>{}</span><pre>{}</pre></li>\n", escape(command.purpose),
                           escape(command.line));
    return out + "</ul>\n</section>\n";
}

std::string provenance_section(const RunData& run) {
    std::string out = "<section>\n<h2>Provenance</h2>\n<dl class=\"facts\">\n";
    fact(out, "Started", run.text({"/started"}));
    fact(out, "Ended", run.text({"/ended"}));
    if (const json* attempts = run.find("/attempts"); attempts != nullptr && attempts->size() > 1)
        fact(out, "Attempts",
             fmt::format("{}, each going on where the one before stopped", attempts->size()));
    fact(out, "Started from", started_from(run));
    fact(out, "Command", run.text({"/command_line"}), true);
    const std::string revision = run.text({"/git_commit"});
    const std::string dirty = run.text({"/git_dirty"});
    fact(out, "Revision",
         revision.empty() || dirty.empty()
             ? revision
             : revision + (dirty == "yes" ? " with uncommitted changes" : ", clean tree"));
    fact(out, "knlp", run.text({"/knlp_version"}));
    fact(out, "Binary SHA-256", run.text({"/binary_sha256"}), true);
    fact(out, "Compiler", run.text({"/compiler"}));
    fact(out, "LibTorch", run.text({"/torch_version"}));
    fact(out, "Processor", run.text({"/host/cpu_model"}));
    fact(out, "Cores, threads", [&] {
        const std::string cores = count_text(run, {"/host/cores"}, "cores");
        const std::string threads = count_text(run, {"/threads"}, "threads");
        return cores.empty() || threads.empty() ? cores + threads : cores + ", " + threads;
    }());
    fact(out, "Instruction set", run.text({"/isa"}));
    fact(out, "Device", run.text({"/device"}));
    fact(out, "Precision", run.text({"/precision"}));
    fact(out, "GEMM route", run.text({"/gemm_route"}));
    fact(out, "Seed", run.text({"/seeds/seed"}));
    fact(out, "Batch", [&] {
        const double effective = run.number({"/batch/effective"}),
                     micro = run.number({"/batch/micro"});
        const double n_ctx = run.number({"/batch/n_ctx"});
        if (!std::isfinite(effective) || !std::isfinite(micro) || !std::isfinite(n_ctx))
            return std::string();
        return fmt::format("{:.0f} sequences of {:.0f} tokens a step, {:.0f} at once", effective,
                           n_ctx, micro);
    }());
    fact(out, "Data", run.text({"/data/name"}));
    fact(out, "Data wanted", run.text({"/data/wanted"}));
    fact(out, "Package of the text", run.text({"/data/package_version"}));
    fact(out, "Training tokens", count_text(run, {"/data/train_tokens"}, "tokens"));
    file_facts(out, run);
    fact(out, "Tokenizer", [&] {
        const std::string kind = run.text({"/tokenizer/kind"});
        const std::string size = count_text(run, {"/tokenizer/vocab_size"}, "ids");
        return size.empty() ? kind : kind + ", " + size;
    }());
    fact(out, "Tokenizer SHA-256", run.text({"/tokenizer/sha256"}), true);
    fact(out, "Evaluation windows", run.text({"/batches_sha256"}), true);
    fact(out, "Configuration hash", run.text({"/config_sha256"}), true);
    if (const json* warnings = run.find("/warnings"); warnings != nullptr && warnings->is_array())
        for (const json& warning : *warnings)
            if (warning.is_string()) fact(out, "Warning", warning.get<std::string>());
    return out + "</dl>\n" + whole_manifest(run) + "</section>\n";
}

std::string configuration_section(const RunData& run) {
    if (run.settings.empty()) return "";
    std::vector<Setting> rows = run.settings;
    const auto chosen = [](const Setting& s) { return s.origin != "default"; };
    std::stable_partition(rows.begin(), rows.end(), chosen);
    const auto n_chosen = std::count_if(rows.begin(), rows.end(), chosen);
    std::string out = fmt::format(
        "<section>\n<details><summary>Configuration <small>{} of {} symbols set, those "
        "first</small></summary>\n"
        "<table><thead><tr><th>symbol</th><th>value</th><th>origin</th></tr></thead><tbody>\n",
        n_chosen, rows.size());
    for (const Setting& s : rows)
        out += fmt::format("<tr{}><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                           chosen(s) ? " class=\"set\"" : "", escape(s.name),
                           escape(clip_text(s.value, kMaxValueBytes)), escape(s.origin));
    return out + "</tbody></table></details>\n</section>\n";
}

}  // namespace knlp::report
