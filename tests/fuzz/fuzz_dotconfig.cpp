#include "fuzz_target.h"
#include "knlp/config/symbols.h"

KNLP_FUZZ_TARGET(dotconfig) {
    const InputFile file(input);
    accept_errors_about_the_file([&] {
        const config::Symbols symbols = config::Symbols::load(file.path(), {});
        // What was accepted can be written and read back to the same values.
        const InputFile again(symbols.dot_config());
        KNLP_CHECK(config::Symbols::load(again.path(), {}).values() == symbols.values());
    });
}
