#include "fuzz_target.h"
#include "knlp/core/elf.h"

KNLP_FUZZ_TARGET(elf) {
    const InputFile file(input);
    accept_errors_about_the_file(
        [&] { KNLP_CHECK(read_elf_needs(file.path()).needed.size() <= input.size()); });
}
