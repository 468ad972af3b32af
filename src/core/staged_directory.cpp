#include "knlp/core/staged_directory.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>

namespace knlp {

namespace fs = std::filesystem;

namespace {

constexpr int kAttempts = 5;
constexpr const char* kHold = ".being-made";  // in what is not finished; its maker has locked it

/// The maker's hold; -1 where the file cannot be made or another has locked it. Where files cannot
/// be locked nothing is ever taken for abandoned either.
int make_hold(const fs::path& file) {
    const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 || ::flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return fd;
    ::close(fd);
    return -1;
}

/// -1 where there is no such file, or its maker lives.
int take_hold(const fs::path& file) {
    const int fd = ::open(file.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0 || ::flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
    ::close(fd);
    return -1;
}

/// Removes unfinished directories below `parent` whose makers are gone.
void remove_abandoned(const fs::path& parent) {
    std::error_code ignored;
    for (const fs::directory_entry& entry : fs::directory_iterator(parent, ignored)) {
        const std::string name = entry.path().filename().string();
        if (!name.starts_with(".") || name.find(".tmp.") == std::string::npos) continue;
        const int fd = take_hold(entry.path() / kHold);
        if (fd < 0) continue;
        fs::remove_all(entry.path(), ignored);
        ::close(fd);
    }
}

/// A fresh directory ".<name>.<what>.XXXXXX" beside `target`, with the directories above it.
fs::path make_beside(const fs::path& target, const std::string& what) {
    const std::string wanted =
        (target.parent_path() / ("." + target.filename().string() + what + "XXXXXX")).string();
    std::string pattern;
    for (int attempt = 1;; ++attempt) {
        std::error_code error;
        fs::create_directories(target.parent_path(), error);
        if (error) fail_io(target.parent_path(), "make the directory", error.value());
        pattern = wanted;
        if (::mkdtemp(pattern.data()) != nullptr) break;
        // Another maker that failed may just have taken its empty directories away.
        if (errno != ENOENT || attempt == kAttempts)
            fail_io(target.parent_path(), "make a directory in it", errno);
    }
    fs::permissions(pattern, fs::perms::owner_all | fs::perms::group_read | fs::perms::group_exec |
                                 fs::perms::others_read | fs::perms::others_exec);
    return pattern;
}

}  // namespace

StagedDirectory::StagedDirectory(fs::path target, bool replace) : replace_(replace) {
    // A trailing slash would leave no file name to build the temporary one from.
    target_ = fs::absolute(target).lexically_normal();
    if (!target_.has_filename()) target_ = target_.parent_path();
    if (!replace && fs::exists(target_) && !(fs::is_directory(target_) && fs::is_empty(target_)))
        fail(kUsage, "{} is there already; --force replaces it, --out DIR takes another place",
             target.string());
    for (fs::path above = target_.parent_path(); !fs::exists(above); above = above.parent_path())
        made_.push_back(above);
    remove_abandoned(target_.parent_path());
    // Between the two calls another maker may take it for abandoned: then it is made again.
    for (int attempt = 1; hold_ < 0; ++attempt) {
        staged_ = make_beside(target_, ".tmp.");
        hold_ = make_hold(staged_ / kHold);
        const int reason = errno;
        if (hold_ >= 0 && fs::exists(staged_ / kHold)) return;
        discard();
        if (attempt == kAttempts) fail_io(target_.parent_path(), "make a directory in it", reason);
    }
}

void StagedDirectory::let_go() {
    if (hold_ >= 0) ::close(hold_);
    hold_ = -1;
}

void StagedDirectory::discard() {
    std::error_code ignored;
    fs::remove_all(staged_, ignored);
    let_go();
    // Where somebody else has put something meanwhile, remove fails, as it should.
    for (const fs::path& above : made_)
        if (!fs::remove(above, ignored)) return;
}

StagedDirectory::~StagedDirectory() {
    if (!staged_.empty()) discard();
}

bool StagedDirectory::publish() {
    std::error_code gone;
    fs::remove(staged_ / kHold, gone);
    sync_directory(staged_);
    if (::rename(staged_.c_str(), target_.c_str()) != 0) {
        if (errno != ENOTEMPTY && errno != EEXIST) fail_io(target_, "rename to it", errno);
        if (!replace_) return false;
        const fs::path old = make_beside(target_, ".old.");
        std::error_code ignored;
        if (::rename(target_.c_str(), old.c_str()) != 0 ||
            ::rename(staged_.c_str(), target_.c_str()) != 0) {
            const int reason = errno;
            ::rename(old.c_str(), target_.c_str());
            fail_io(target_, "replace it", reason);
        }
        fs::remove_all(old, ignored);
    }
    staged_.clear();
    let_go();
    sync_directory(target_.parent_path());
    return true;
}

}  // namespace knlp
