#include "eval_tasks.h"

#include "src/app/parser.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"
#include "knlp/core/parse.h"
#include "knlp/core/signals.h"
#include "knlp/model/model_files.h"

namespace knlp::app {
namespace {

EvalOptions options;

/// --mode takes "chunk", "stride S", or "stride" with half the context.
void read_mode() {
    const std::vector<std::string>& words = options.mode;
    options.stride = 0;
    if (words.front() == "chunk" && words.size() == 1) return;
    if (words.front() != "stride")
        fail(kUsage, "--mode {}: chunk, or stride S, is wanted", fmt::join(words, " "));
    options.stride = -1;
    if (words.size() == 1) return;
    options.stride = parse_int(words[1]).value_or(0);
    if (options.stride < 1)
        fail(kUsage, "--mode stride {}: a positive number of tokens is wanted", words[1]);
}

EvalReport run_task(model::LoadedModel& model) {
    if (options.task == "loss") return eval_loss(model, options);
    if (options.task == "ppl") return eval_perplexity(model, options);
    return eval_hellaswag(model, options);
}

int say_dry(const Common& common) {
    const std::filesystem::path path = model_path(common, options.model);
    model::find_model(path);
    const std::string& data = options.task == "logits" ? options.ids : options.data;
    log::info("would measure {} of {} on {}{}; nothing was computed or written", options.task,
              path.string(), data.empty() ? "the data of its run" : data,
              common.out.empty() ? "" : fmt::format(" and write {}", common.out));
    return 0;
}

int run(const Common& common) {
    read_mode();
    if (options.task == "hellaswag" && options.data.empty())
        fail(kUsage, "hellaswag needs the items: --data hellaswag_val.jsonl");
    if (options.task == "logits" && (options.ids.empty() || common.out.empty()))
        fail(kUsage,
             "logits needs --ids FILE.json (a list of token ids) and --out FILE.safetensors");
    if (options.precision == "fp32") options.precision = "float32";
    if (options.precision == "bf16") options.precision = "bfloat16";
    if (common.dry_run) return say_dry(common);
    model::LoadedModel model = load_model(common, options.model);
    if (options.task == "logits") {
        eval_logits(model, options.ids, common.out);
        return 0;
    }
    const EvalReport report = run_task(model);
    const int stopped = stop_signal();
    if (stopped != 0) {
        log::warn("stopped early: nothing is reported from a part of the data");
        return stop_exit_status(stopped);
    }
    if (!common.out.empty()) write_file_atomic(common.out, pretty_json(report.full));
    put_stdout(common.json ? canonical_json(report.summary) + "\n" : report.text);
    return 0;
}

std::function<int(const Common&)> add_options(Parser verb) {
    verb.add_option("--task", options.task, "loss, ppl, hellaswag or logits (default: loss)")
        .one_of({"loss", "ppl", "hellaswag", "logits"})
        .type_name("TASK");
    add_model_flags(verb, options.model);
    add_compute_flags(verb, options.model);
    verb.add_option(
            "--data", options.data,
            "dataset directory, .bin token file, text, or hellaswag's .jsonl (default: the data of "
            "the model's run)")
        .type_name("PATH");
    verb.add_option("--split", options.split, "val or train, of a dataset directory (default: val)")
        .one_of({"val", "train"})
        .type_name("SPLIT");
    verb.add_option("--tokens", options.tokens,
                    "loss: tokens of the fixed windows (default: the run's, else 262144)")
        .positive();
    verb.add_option(
            "--mode", options.mode,
            "ppl: chunk (disjoint windows), or stride S (each token with more context; default S: "
            "half the context)")
        .values(1, 2)
        .type_name("MODE");
    verb.add_option("--style", options.style, "hellaswag: harness or completion (default: harness)")
        .one_of({"harness", "completion"})
        .type_name("STYLE");
    verb.add_option("--limit", options.limit, "hellaswag: first items only, 0 = all (default: 0)")
        .not_negative();
    verb.add_option("--baseline", options.baseline,
                    "hellaswag: --out file of another model, for a paired McNemar test")
        .type_name("FILE");
    verb.add_option("--ids", options.ids, "logits: JSON list of token ids").type_name("FILE");
    verb.add_option("--batch", options.batch, "sequences at once (default: the run's, else 8)")
        .in_range(1, 4096);
    verb.add_option(
            "--precision", options.precision,
            "of the arithmetic: fp32 or bf16 (default: the run's evaluation precision, else fp32)")
        .one_of({"fp32", "bf16", "float32", "bfloat16"})
        .type_name("TYPE");
    return run;
}

}  // namespace

extern const Command cmd_eval;
const Command cmd_eval = {
    .name = "eval",
    .summary = "loss, perplexity, HellaSwag or logits of a model",
    .needs = "",
    .add_options = add_options,
    .examples =
        "knlp eval --model results/runs/NAME\n"
        "knlp eval --task ppl --mode stride 64 --data book.txt --json\n"
        "knlp eval --task hellaswag --model DIR --data hellaswag_val.jsonl --out hellaswag.json\n"
        "knlp eval --task logits --model DIR --ids ids.json --out logits.safetensors",
    .handles_stop = true,
    .obeys = "OUTPUT_DIR LOG_LEVEL"};

}  // namespace knlp::app
