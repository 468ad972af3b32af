#include "model_options.h"

#include "src/app/parser.h"

#include "knlp/core/error.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"
#include "knlp/model/convert.h"

#include <nlohmann/json.hpp>

namespace knlp::app {
namespace {

struct Options {
    ModelFlags model;
    Option list_option;
    std::string to, list;
    bool force = false;
};
Options options;

std::string shape_text(const std::vector<int64_t>& shape) {
    return fmt::format("[{}]", fmt::join(shape, ", "));
}

int list_model(const Common& common) {
    if (!options.list.empty()) options.model.model = options.list;
    const std::vector<model::TensorRow> rows =
        model::list_tensors(model_path(common, options.model));
    if (common.json) {
        nlohmann::json tensors = nlohmann::json::array();
        for (const model::TensorRow& row : rows)
            tensors.push_back({{"name", row.name},
                               {"shape", row.shape},
                               {"dtype", row.dtype},
                               {"role", row.role},
                               {"decay", row.decay},
                               {"file", row.file}});
        put_stdout(canonical_json(tensors) + "\n");
        return 0;
    }
    size_t name_width = 4, shape_width = 5;
    for (const model::TensorRow& row : rows) {
        name_width = std::max(name_width, row.name.size());
        shape_width = std::max(shape_width, shape_text(row.shape).size());
    }
    const auto line = [&](const std::string& name, const std::string& shape,
                          const std::string& dtype, const std::string& decay,
                          const std::string& role) {
        return put_stdout(fmt::format("{:<{}}  {:<{}}  {:<5}  {:<8}  {}\n", name, name_width, shape,
                                      shape_width, dtype, decay, role));
    };
    if (!line("name", "shape", "dtype", "group", "role")) return 0;
    for (const model::TensorRow& row : rows)
        if (!line(row.name, shape_text(row.shape), row.dtype,
                  row.role.empty() ? "-"
                  : row.decay      ? "decay"
                                   : "no_decay",
                  row.role.empty() ? "not a parameter" : row.role))
            return 0;
    return 0;
}

int run(const Common& common) {
    if (options.list_option.given()) return list_model(common);
    if (options.to.empty())
        fail(kUsage, "say what to do: --to hf --out DIR, --to llmc --out FILE, or --list");
    const bool hugging_face = options.to == "hf";
    if (common.out.empty())
        fail(kUsage, "--to {} needs --out {}", options.to,
             hugging_face ? "DIR, the directory to make" : "FILE, the checkpoint to write");
    const std::filesystem::path source = model_path(common, options.model);
    if (common.dry_run) {
        log::info("would write {} as {}: {}", source.string(), common.out,
                  hugging_face ? "model.safetensors, config.json and the tokenizer's files"
                               : "a checkpoint of llm.c");
        return 0;
    }
    const model::ExportRequest request{.model = source,
                                       .out = common.out,
                                       .tokenizer = options.model.tokenizer,
                                       .force = options.force,
                                       .check_finite = options.model.check_finite,
                                       .untie = options.model.untie};
    const model::ExportSummary made =
        hugging_face ? model::export_hugging_face(request) : model::export_llmc(request);
    if (common.json)
        put_stdout(canonical_json({{"out", common.out},
                                   {"files", made.files},
                                   {"bytes", made.bytes},
                                   {"tokenizer", made.tokenizer}}) +
                   "\n");
    else
        put_stdout(fmt::format("{}: {} ({} bytes)\n", common.out, fmt::join(made.files, ", "),
                               made.bytes));
    if (made.tokenizer == "byte" || made.tokenizer == "char")
        log::info("transformers has no tokenizer of kind {}; ours lies in {}/tokenizer",
                  made.tokenizer, common.out);
    return 0;
}

std::function<int(const Common&)> add_options(Parser verb) {
    add_model_flags(verb, options.model);
    const Option to =
        verb.add_option("--to", options.to,
                        "hf: a directory that transformers opens; llmc: the checkpoint that "
                        "llm.c's train_gpt2 reads; --out names it")
            .one_of({"hf", "llmc"})
            .type_name("FORMAT");
    options.list_option =
        verb.add_option("--list", options.list,
                        "name, shape, dtype, weight-decay group and role of every tensor of --list "
                        "MODEL or --model MODEL")
            .type_name("MODEL")
            .values(0, 1)
            .excludes(to);
    verb.add_flag("--force", options.force, "replace what is there");
    return run;
}

}  // namespace

extern const Command cmd_convert;
const Command cmd_convert = {.name = "convert",
                             .summary = "write a model for other tools, or list its tensors",
                             .needs = "",
                             .add_options = add_options,
                             .examples =
                                 "knlp convert --to hf --model results/runs/NAME --out exported\n"
                                 "knlp convert --to llmc --model exported --out gpt2_124M.bin\n"
                                 "knlp convert --list exported",
                             .handles_stop = true,
                             .obeys = "OUTPUT_DIR LOG_LEVEL"};

}  // namespace knlp::app
