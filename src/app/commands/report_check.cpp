#include "src/app/commands/report_verbs.h"

#include "knlp/app/command.h"
#include "knlp/core/json.h"
#include "knlp/report/ledger.h"

#include <nlohmann/json.hpp>

namespace knlp::app {

int check_report(const std::string& path, const Common& common) {
    const std::string problem = report::check(path, ledger_path("", common));
    if (common.json)
        put_text(canonical_json(
                     {{"path", path},
                      {"whole", problem.empty()},
                      {"why", problem.empty() ? nlohmann::json() : nlohmann::json(problem)}}) +
                 "\n");
    else
        put_text(problem.empty() ? path + ": every figure is what its files make it\n"
                                 : problem + "\n");
    return problem.empty() ? 0 : 1;
}

}  // namespace knlp::app
