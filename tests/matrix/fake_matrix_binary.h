#pragma once

#include "sample_plan.h"

#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/json.h"
#include "knlp/matrix/plan.h"
#include "tests/support/temp_dir.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <string>

namespace knlp::test {

/// A matrix directory whose binary is a shell script: a runner only starts it. $M is the matrix, $N
/// the index, $ID the cell's id; `finish` writes the run of a done cell, `fail STATUS CODE` one
/// that failed. `failed` moves such a run away first, as run-cell does.
struct ScriptedMatrix {
    TempDir dir;
    matrix::Plan plan = sample_plan();

    explicit ScriptedMatrix(const std::string& body) {
        std::string ids;
        for (const matrix::Cell& cell : plan.cells)
            ids +=
                fmt::format("  {}) ID='{}' HASH={} ;;\n", cell.index, cell.id, cell.config_sha256);
        const std::string script = "#!/bin/bash\nM=$3 N=$5\ncase $N in\n" + ids + "esac\n" + R"(
R=$M/cells/$ID
status() { printf '%s' "$1" > $R/.s && mv $R/.s $R/status.json; }
begin() {
  [ -e $R ] && { mkdir -p $M/attempts/$ID; mv $R $M/attempts/$ID/attempt.$(( $(ls $M/attempts/$ID | wc -l) + 1 )); }
  mkdir -p $R; echo "$ID" >> $M/begun; status '{"state":"running"}'
}
finish() {
  echo '{"experiment_sha256":"'$HASH'","startup_s":0,"peak_rss_bytes":1000}' > $R/manifest.json
  echo '{"event":"final","step":20,"val_loss":3.5,"wall_s":1}' > $R/metrics.jsonl
  status '{"state":"done","exit_code":0}'; exit 0
}
fail() { status '{"state":"failed","exit_code":'$1',"code":"'$2'","reason":"out of luck"}'; exit $1; }
)" + body;
        std::filesystem::create_directories(dir.file("bin/x"));
        dir.write("bin/x/knlp", script);
        std::filesystem::permissions(dir.file("bin/x/knlp"), std::filesystem::perms::owner_all);
        plan.builds[0].path = "bin/x/knlp";
        plan.builds[0].sha256 = sha256_hex(script);
        for (matrix::Arm& arm : plan.arms) {
            arm.build = plan.builds[0].sha256;
            arm.estimate.memory_bytes = 1000;
        }
        plan.jobs = 2;
        write_plan();
    }
    void write_plan() { dir.write(matrix::kPlanFile, matrix::plan_text(plan)); }
    /// Lines of what each cell's process noted when it began.
    std::vector<std::string> begun() const {
        std::vector<std::string> out;
        std::ifstream file(dir.file("begun"));
        for (std::string line; std::getline(file, line);) out.push_back(line);
        return out;
    }
    std::vector<nlohmann::json> events(const std::string& kind) const {
        std::vector<nlohmann::json> out;
        std::ifstream file(dir.file("journal.jsonl"));
        for (std::string line; std::getline(file, line);)
            if (nlohmann::json event = nlohmann::json::parse(line); event["event"] == kind)
                out.push_back(std::move(event));
        return out;
    }
};

}  // namespace knlp::test
