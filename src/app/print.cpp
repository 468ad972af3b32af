// A verb's output as a file.
#include "knlp/app/command.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

namespace knlp::app {

void put_text(std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
}

int run_printing(Common common, const std::function<int(const Common&)>& verb) {
    const std::string out = std::exchange(common.out, "");
    if (out.empty() || common.dry_run) return verb(common);
    const std::unique_ptr<FILE, int (*)(FILE*)> held(std::tmpfile(), std::fclose);
    const int terminal = ::dup(STDOUT_FILENO);
    if (!held || terminal < 0 || ::dup2(::fileno(held.get()), STDOUT_FILENO) < 0)
        fail_code(kRun, "E_IO", "a temporary file for --out: {}", std::strerror(errno));
    const int status = verb(common);
    const bool whole = std::fflush(stdout) == 0 && !std::ferror(stdout);
    if (!whole || ::dup2(terminal, STDOUT_FILENO) < 0)
        fail_code(kRun, "E_IO", "a temporary file for --out: {}", std::strerror(errno));
    ::close(terminal);
    std::string text(static_cast<size_t>(::lseek(::fileno(held.get()), 0, SEEK_END)), '\0');
    std::rewind(held.get());
    text.resize(std::fread(text.data(), 1, text.size(), held.get()));
    write_file_atomic(out, text);
    return status;
}

}  // namespace knlp::app
