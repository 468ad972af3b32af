#include "knlp/bench/scratch.h"

#include "knlp/core/error.h"

#include <stdlib.h>

#include <cerrno>
#include <cstring>

namespace knlp::bench {

namespace fs = std::filesystem;

Scratch::Scratch(const fs::path& parent) {
    std::string name = (parent / "knlp-bench-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr)
        fail_code(kRun, "E_IO", "{}: {}; name a directory that can be written", name,
                  std::strerror(errno));
    path_ = name;
}

Scratch::~Scratch() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
}

}  // namespace knlp::bench
