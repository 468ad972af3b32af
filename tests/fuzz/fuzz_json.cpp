#include "fuzz_target.h"
#include "knlp/core/json.h"

#include <nlohmann/json.hpp>

KNLP_FUZZ_TARGET(json_text) {
    accept_errors_about_the_file([&] {
        const nlohmann::json value = parse_json(input, "input");
        // What was read can be written, and says the same when read again.
        const std::string text = canonical_json(value);
        KNLP_CHECK(canonical_json(parse_json(text, "canonical")) == text);
        KNLP_CHECK(canonical_json(parse_json(pretty_json(value), "pretty")) == text);
    });
}
