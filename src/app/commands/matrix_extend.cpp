#include "src/app/commands/matrix_cells.h"
#include "src/app/commands/matrix_verbs.h"
#include "src/app/parser.h"

#include "knlp/app/command.h"
#include "knlp/config/matrix.h"
#include "knlp/core/error.h"
#include "knlp/core/json.h"
#include "knlp/core/parse.h"
#include "knlp/core/text.h"
#include "knlp/matrix/planner.h"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace knlp::app {
namespace {

struct Options {
    std::string directory;
    std::vector<std::string> seeds;
};
Options options;

std::vector<uint64_t> seeds_of(const std::vector<std::string>& texts) {
    std::vector<int64_t> numbers;
    for (const std::string& text : texts)
        for (const std::string& word : split(text, ',')) {
            const auto number = parse_int(word);
            if (!number) fail(kUsage, "--seeds {}: '{}' is no whole number", text, word);
            numbers.push_back(*number);
        }
    return config::read_seeds(numbers, "--seeds");
}

int extend(const Common& common) {
    refuse_overrides(common, false);
    const std::vector<uint64_t> seeds = seeds_of(options.seeds);
    const matrix::Plan before = matrix::read_plan(options.directory);
    const matrix::Extension extension =
        matrix::extend_plan(options.directory, seeds, common.dry_run);
    const size_t added = seeds.size() * before.arms.size(), all = before.cells.size() + added;
    if (common.json)
        put_text(canonical_json({{"cells", added},
                                 {"done_before", extension.done_before},
                                 {"seeds", extension.seeds},
                                 {"sha256", common.dry_run ? nlohmann::json()
                                                           : nlohmann::json(extension.sha256)}}) +
                 "\n");
    else
        put_text(fmt::format(
            "{}: {} cells more, {} in all; {} had finished before, which the report will "
            "say\n{}",
            options.directory, added, all, extension.done_before,
            common.dry_run ? "dry run   nothing was written\n" : ""));
    return 0;
}

}  // namespace

MatrixVerb add_matrix_extend(Parser matrix) {
    options = {};
    Parser sub =
        matrix.add_subcommand("extend", "add seeds to a planned matrix; finished cells stay");
    sub.add_option("directory", options.directory, "the matrix").required().type_name("DIR");
    sub.add_option("--seeds", options.seeds, "seeds to add, such as 4,5")
        .required()
        .one_at_a_time()
        .type_name("LIST");
    return {.parser = sub, .run = extend};
}

}  // namespace knlp::app
