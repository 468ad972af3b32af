#include "model_options.h"

#include "src/app/parser.h"

#include "knlp/config/general.h"
#include "knlp/core/error.h"
#include "knlp/core/log.h"
#include "knlp/track/run_dir.h"

#include <cerrno>
#include <cstring>
#include <unistd.h>

namespace knlp::app {

void add_model_flags(Parser verb, ModelFlags& flags) {
    verb.add_option("--model", flags.model,
                    "run, checkpoint or Hugging Face directory (default: the newest run)")
        .type_name("DIR");
    verb.add_option("--tokenizer", flags.tokenizer,
                    "directory or rank file, instead of the model's own tokenizer")
        .type_name("PATH");
    verb.add_flag("--untie", flags.untie,
                  "keep an output head that differs from the token embedding");
    verb.add_flag("--check-finite", flags.check_finite, "refuse weights that are NaN or infinite");
}

void add_compute_flags(Parser verb, ModelFlags& flags) {
    verb.add_option("--device", flags.device, "auto, cpu, cuda or cuda:N (default: auto)")
        .type_name("DEVICE");
    verb.add_option("--threads", flags.threads, "CPU threads, 0 = all usable cores (default: 0)")
        .in_range(0, 4096);
    verb.add_option("--dtype", flags.dtype,
                    "hold the matrices as fp32, or rounded to bf16: half the memory, and faster "
                    "(default: fp32)")
        .one_of({"fp32", "bf16"})
        .type_name("TYPE");
}

std::filesystem::path model_path(const Common& common, const ModelFlags& flags) {
    const config::Symbols symbols = load_symbols_or_defaults(common);
    if (!flags.model.empty()) {
        if (symbols.origin("OUTPUT_DIR") == config::Origin::kCommandLine)
            fail(kUsage,
                 "--set OUTPUT_DIR only says where the newest run is looked for, and {} is named; "
                 "leave one of them out",
                 flags.model);
        return flags.model;
    }
    const std::filesystem::path results = config::read_general(symbols).output_dir;
    std::filesystem::path run = track::newest_run(results, {"done"});
    if (run.empty()) run = track::newest_run(results);
    if (run.empty())
        fail(kUsage,
             "no run below {}; name a model with --model DIR (a run, checkpoint or Hugging Face "
             "directory) or train one: make quickstart",
             results.string());
    log::info("model: {}", run.string());
    return run;
}

model::LoadedModel load_model(const Common& common, const ModelFlags& flags) {
    const std::filesystem::path path = model_path(common, flags);
    const bool bf16 = flags.dtype == "bf16";
    if (bf16) log::info("weights: matrices rounded to bf16 (--dtype fp32 keeps them)");
    return model::LoadedModel({.path = path,
                               .device = flags.device,
                               .threads = flags.threads,
                               .check_finite = flags.check_finite,
                               .untie = flags.untie,
                               .tokenizer = flags.tokenizer,
                               .bf16 = bf16});
}

bool put_stdout(std::string_view text) {
    while (!text.empty()) {
        const ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EPIPE) return false;
        if (n <= 0) fail_code(kRun, "E_IO", "standard output: {}", std::strerror(errno));
        text.remove_prefix(static_cast<size_t>(n));
    }
    return true;
}

}  // namespace knlp::app
