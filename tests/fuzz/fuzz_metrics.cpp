#include "fuzz_target.h"
#include "knlp/track/run_dir.h"

#include <nlohmann/json.hpp>

KNLP_FUZZ_TARGET(metrics) {
    write_input("metrics.jsonl", input);
    accept_errors_about_the_file([] {
        for (const nlohmann::json& event : track::read_metrics(scratch_directory()))
            KNLP_CHECK(event.is_object());
    });
}
