#include "knlp/matrix/pilot.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/parse.h"
#include "knlp/core/stats.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

namespace knlp::matrix {
namespace {

namespace fs = std::filesystem;

std::string_view stripped(std::string_view text) {
    constexpr std::string_view kBlanks = " \t\r";
    text = text.substr(0, text.find('#'));
    const size_t begin = text.find_first_not_of(kBlanks);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

Pilot pilot_of(std::vector<double> differences, const std::string& source) {
    if (differences.size() < 2)
        fail(kData, "{}: {} paired difference{}; a spread needs at least two", source,
             differences.size(), differences.size() == 1 ? "" : "s");
    Pilot pilot{.differences = std::move(differences)};
    pilot.mean = mean(pilot.differences);
    pilot.sd = stddev(pilot.differences);
    if (!(pilot.sd > 0 && std::isfinite(pilot.sd)))
        fail(kData,
             "{}: the standard deviation of the differences is {}; they must vary from seed to "
             "seed",
             source, pilot.sd);
    return pilot;
}

}  // namespace

Pilot read_pilot(const fs::path& file) {
    const std::string text = read_file(file, 1 << 20);
    std::vector<double> differences;
    int64_t line = 0;
    for (size_t begin = 0; begin < text.size();) {
        const size_t end = std::min(text.find('\n', begin), text.size());
        const std::string_view word = stripped(std::string_view(text).substr(begin, end - begin));
        begin = end + 1;
        ++line;
        if (word.empty()) continue;
        const auto value = parse_real(word);
        if (!value)
            fail(kData, "{}:{}: '{}' is not a number; one difference a line is wanted",
                 file.string(), line, word.substr(0, 40));
        differences.push_back(*value);
    }
    return pilot_of(std::move(differences), file.string());
}

Pilot pilot_of_runs(std::span<const std::string> baseline, std::span<const std::string> arm) {
    AnalysisPlan plan{.arms = {"baseline", "arm"}, .baseline = "baseline"};
    std::vector<CellResult> cells;
    std::set<uint64_t> seeds;
    for (const auto& [runs, name] : {std::pair{baseline, "baseline"}, std::pair{arm, "arm"}})
        for (const std::string& run : runs) {
            cells.push_back(read_cell(run, name));
            seeds.insert(cells.back().seed);
        }
    plan.seeds.assign(seeds.begin(), seeds.end());
    const Analysis analysis = analyse(plan, cells);
    const Contrast& contrast = analysis.contrasts.at(0);
    std::string source = "the runs";
    if (contrast.differences.size() < 2 && !contrast.dropped.empty())
        source = fmt::format("the runs (seed {}: {})", contrast.dropped[0].seed,
                             contrast.dropped[0].why);
    Pilot pilot = pilot_of(contrast.differences, source);
    pilot.dropped = contrast.dropped;
    return pilot;
}

}  // namespace knlp::matrix
