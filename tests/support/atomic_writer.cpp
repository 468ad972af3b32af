// Helper of the crash tests: writes FILE atomically with SIZE bytes of the letter LETTER.
//   atomic_writer FILE LETTER SIZE
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/parse.h"

#include <cstdio>
#include <string>

int main(int argc, char** argv) {
    if (argc != 4) return 2;
    const int64_t size = knlp::parse_int(argv[3]).value_or(0);
    try {
        knlp::AtomicFile file(argv[1]);
        const std::string piece(700000, argv[2][0]);
        for (int64_t left = size; left > 0; left -= std::ssize(piece))
            file.write(std::string_view(piece).substr(
                0, static_cast<size_t>(std::min<int64_t>(left, std::ssize(piece)))));
        file.commit();
    } catch (const knlp::Error& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return knlp::exit_status(error.kind());
    }
    return 0;
}
