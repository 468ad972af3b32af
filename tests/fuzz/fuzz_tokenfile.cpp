#include "fuzz_target.h"
#include "knlp/data/token_file.h"

#include <algorithm>
#include <vector>

// First byte: width of a headerless file's tokens; the rest is the file.
KNLP_FUZZ_TARGET(tokenfile) {
    if (input.empty()) return;
    const int64_t width = input[0] % 2 == 0 ? 2 : 4;
    const std::filesystem::path path = write_input("train.bin", input.substr(1));
    accept_errors_about_the_file([&] {
        const data::TokenFile tokens = data::TokenFile::open({path}, width);
        KNLP_CHECK(tokens.size() >= 0 && tokens.size() * 2 <= std::ssize(input));
        std::vector<int64_t> ids(static_cast<size_t>(tokens.size()));
        tokens.read(0, ids);
        for (const int64_t id : ids) KNLP_CHECK(id >= 0 && id <= 0xffffffff);
        tokens.check_vocabulary(1000);
        for (const int64_t id : ids) KNLP_CHECK(id < 1000);
    });
}
