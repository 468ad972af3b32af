#include "fuzz_target.h"
#include "knlp/core/file.h"

KNLP_FUZZ_TARGET(gzip) {
    const InputFile file(input);
    accept_errors_about_the_file(
        [&] { KNLP_CHECK(read_gzip(file.path(), 1 << 22).size() <= (1 << 22)); });
}
