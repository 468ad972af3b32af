#include "knlp/matrix/claim.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/core/utc.h"
#include "knlp/core/log.h"
#include "knlp/matrix/plan.h"

#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <random>
#include <utility>

namespace knlp::matrix {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

fs::path claim_file(const fs::path& matrix, const Cell& cell) {
    return matrix / "claims" / cell.id;
}

std::string new_nonce() {
    std::random_device random;
    return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

bool lock(int fd, int operation) {
    int result = 0;
    do {
        result = ::flock(fd, operation);
    } while (result != 0 && errno == EINTR);
    return result == 0;
}

/// Held while a claim passes from one process to another, or is given back.
class TakeoverLock {
public:
    explicit TakeoverLock(const fs::path& matrix) {
        const fs::path file = matrix / "claims" / ".takeover";
        fd_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd_ < 0) fail_io(file, "cannot open", errno);
        if (!lock(fd_, LOCK_EX)) {
            const int error_number = errno;
            ::close(fd_);
            fail_io(file, "cannot lock", error_number);
        }
    }
    ~TakeoverLock() { ::close(fd_); }
    TakeoverLock(const TakeoverLock&) = delete;
    TakeoverLock& operator=(const TakeoverLock&) = delete;

private:
    int fd_ = -1;
};

/// An open claim file; closed at the end.
struct Open {
    int fd;
    ~Open() { ::close(fd); }
};

[[noreturn]] void foreign(const fs::path& file, const std::string& why) {
    fail(kLocked, "{}: no claim of a cell ({}); when nobody works on the cell, delete this file",
         file.string(), why);
}

ClaimInfo parse(const fs::path& file, const std::string& text) {
    json object;
    try {
        object = parse_json(text, file.string());
    } catch (const Error&) {
        foreign(file, "not JSON");
    }
    const auto member = [&](const char* name) {
        const auto found = object.find(name);
        if (found == object.end() || !found->is_string())
            foreign(file, fmt::format("\"{}\" is no text", name));
        return found->get<std::string>();
    };
    if (!object.is_object()) foreign(file, "no JSON object");
    ClaimInfo info{.nonce = member("nonce"),
                   .host = member("host"),
                   .boot_id = member("boot_id"),
                   .started = member("started")};
    const auto pid = object.find("pid");
    if (pid == object.end() || !pid->is_number_integer()) foreign(file, "\"pid\" is no number");
    info.pid = pid->get<int64_t>();
    return info;
}

/// nullopt when there is none.
std::optional<std::string> text_of(const fs::path& file) {
    if (!fs::is_regular_file(fs::symlink_status(file))) {
        if (fs::exists(fs::symlink_status(file))) foreign(file, "not a file");
        return std::nullopt;
    }
    try {
        return read_file(file, 1 << 16);
    } catch (const Error& error) {
        if (!fs::exists(file)) return std::nullopt;  // given back meanwhile
        foreign(file, error.what());
    }
}

/// The last sign of life of a claim's holder: when it began, or the heartbeat of the run.
std::string last_sign(const fs::path& matrix, const Cell& cell, const ClaimInfo& info) {
    std::string sign = info.started;
    try {
        const json status = read_json(cell_directory(matrix, cell) / "status.json", 1 << 20);
        const auto beat = status.find("heartbeat");
        if (beat != status.end() && beat->is_string())
            sign = std::max(sign, beat->get<std::string>());
    } catch (const std::exception&) {  // no status yet
    }
    return sign;
}

Holder judge(const fs::path& matrix, const Cell& cell, const ClaimInfo& info) {
    if (info.boot_id == host().boot_id && !(info.boot_id.empty() && info.host != host().hostname)) {
        const Open file{::open(claim_file(matrix, cell).c_str(), O_RDONLY | O_CLOEXEC)};
        // Gone meanwhile: whoever asks looks again. Shared, so that two who look do not mistake
        // each other for the holder.
        if (file.fd < 0) return Holder::kAlive;
        return lock(file.fd, LOCK_SH | LOCK_NB) ? Holder::kGone : Holder::kAlive;
    }
    if (info.host == host().hostname) return Holder::kGone;  // of an earlier boot
    return last_sign(matrix, cell, info) < utc_before(kSilence_s) ? Holder::kSilent
                                                                  : Holder::kAlive;
}

}  // namespace

ClaimView look_at_claim(const fs::path& matrix, const Cell& cell) {
    const std::optional<std::string> text = text_of(claim_file(matrix, cell));
    if (!text) return {};
    const ClaimInfo info = parse(claim_file(matrix, cell), *text);
    return {.holder = judge(matrix, cell, info), .info = info};
}

Claim::Claim(const fs::path& matrix, const Cell& cell)
    : matrix_(matrix),
      file_(claim_file(matrix, cell)),
      temporary_(matrix / "claims" / fmt::format(".new.{}", new_nonce())),
      cell_(cell),
      nonce_(temporary_.extension().string().substr(1)) {
    fs::create_directories(matrix / "claims");
    fd_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ < 0) fail_io(temporary_, "cannot create", errno);
    try {
        const std::string text = pretty_json({{"nonce", nonce_},
                                              {"host", host().hostname},
                                              {"boot_id", host().boot_id},
                                              {"pid", ::getpid()},
                                              {"started", utc_now()}});
        if (::write(fd_, text.data(), text.size()) != std::ssize(text))
            fail_io(temporary_, "cannot write", errno);
        if (!lock(fd_, LOCK_EX | LOCK_NB)) fail_io(temporary_, "cannot lock", errno);
        while (!held_ && !link_new()) {
            const ClaimView seen = look_at_claim(matrix_, cell_);
            if (seen.holder == Holder::kAlive) refuse(seen.info);
            if (seen.holder != Holder::kNone) take_over(seen);
        }
    } catch (...) {
        ::unlink(temporary_.c_str());
        ::close(fd_);
        throw;
    }
}

bool Claim::link_new() {
    const bool linked = ::link(temporary_.c_str(), file_.c_str()) == 0;
    const int error_number = errno;
    // Over NFS the answer to a call that was carried out may be lost; the second name tells.
    struct stat info {};
    held_ = linked || (::fstat(fd_, &info) == 0 && info.st_nlink == 2);
    if (!held_ && error_number != EEXIST) fail_io(file_, "cannot claim the cell", error_number);
    if (held_) ::unlink(temporary_.c_str());
    return held_;
}

void Claim::take_over(const ClaimView& seen) {
    const TakeoverLock alone(matrix_);
    const ClaimView now = look_at_claim(matrix_, cell_);
    if (now.holder == Holder::kNone || now.holder == Holder::kAlive ||
        now.info.nonce != seen.info.nonce)
        return;
    if (::rename(temporary_.c_str(), file_.c_str()) != 0)
        fail_io(file_, "cannot take the claim over", errno);
    held_ = true;
    from_silent_ = now.holder == Holder::kSilent;
    log::info("{}: claim of process {} on {} taken over ({})", cell_.id, now.info.pid,
              now.info.host, from_silent_ ? "no sign of life" : "it is gone");
}

void Claim::refuse(const ClaimInfo& holder) const {
    fail(kLocked, "{}: process {} on {} works on it since {}; wait for it, or end it first",
         cell_.id, holder.pid, holder.host, holder.started);
}

Claim::~Claim() {
    try {
        const TakeoverLock alone(matrix_);
        const std::optional<std::string> text = text_of(file_);
        if (text && parse(file_, *text).nonce == nonce_) ::unlink(file_.c_str());
    } catch (const std::exception& error) {
        // The lock is free from here on, which is what others go by.
        log::debug("{}: claim not given back: {}", cell_.id, error.what());
    }
    ::close(fd_);
}

void Claim::require_ours() const {
    const std::optional<std::string> text = text_of(file_);
    if (text && parse(file_, *text).nonce == nonce_) return;
    fail(kLocked,
         "{}: another process has claimed the cell while this one gave no sign of life; it goes "
         "on there, and this attempt leaves no trace",
         cell_.id);
}

}  // namespace knlp::matrix
