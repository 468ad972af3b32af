#include "lease.h"

#include "knlp/config/environment.h"
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/text.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace knlp::matrix {

namespace fs = std::filesystem;

std::optional<Lease> Lease::take(const fs::path& matrix, const std::string& name) {
    const fs::path directory = matrix / "claims" / ".leases";
    fs::create_directories(directory);
    // Locks of another machine say nothing here, nor do its core numbers.
    const fs::path file = directory / fmt::format("{}-{}", host().boot_id, name);
    const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) fail_io(file, "cannot open", errno);
    int result = 0;
    do {
        result = ::flock(fd, LOCK_EX | LOCK_NB);
    } while (result != 0 && errno == EINTR);
    if (result == 0) return Lease(fd);
    const int error_number = errno;
    ::close(fd);
    if (error_number != EWOULDBLOCK) fail_io(file, "cannot lock", error_number);
    return std::nullopt;
}

Lease::~Lease() {
    if (fd_ >= 0) ::close(fd_);
}

Lease::Lease(Lease&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Lease& Lease::operator=(Lease&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
}

Places::Places(fs::path matrix, std::vector<int> cores, std::vector<std::string> gpus, int64_t jobs)
    : matrix_(std::move(matrix)),
      cores_(std::move(cores)),
      gpus_(std::move(gpus)),
      divide_(jobs > 1) {}

int64_t Places::room(int64_t threads) const {
    if (!gpus_.empty()) return std::ssize(gpus_);
    return std::max<int64_t>(1, std::ssize(cores_) / std::max<int64_t>(1, threads));
}

std::optional<Place> Places::take(int64_t threads) const {
    Place place;
    if (!take_gpu(place) || !take_cores(place, threads)) return std::nullopt;
    return place;
}

bool Places::take_gpu(Place& place) const {
    if (gpus_.size() < 2) return true;
    for (const std::string& gpu : gpus_) {
        std::optional<Lease> lease = Lease::take(matrix_, "gpu-" + gpu);
        if (!lease) continue;
        place.gpu = gpu;
        place.leases.push_back(std::move(*lease));
        return true;
    }
    return false;
}

bool Places::take_cores(Place& place, int64_t threads) const {
    if (!divide_ || threads > std::ssize(cores_)) return true;
    for (const int core : cores_) {
        if (std::ssize(place.cores) == threads) break;
        std::optional<Lease> lease = Lease::take(matrix_, fmt::format("core-{}", core));
        if (!lease) continue;
        place.cores.push_back(core);
        place.leases.push_back(std::move(*lease));
    }
    return std::ssize(place.cores) == threads;
}

std::vector<int> own_cores() {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    std::vector<int> cores;
    if (::sched_getaffinity(0, sizeof mask, &mask) == 0)
        for (int core = 0; core < CPU_SETSIZE; ++core)
            if (CPU_ISSET(core, &mask) && std::ssize(cores) < usable_cores()) cores.push_back(core);
    return cores;
}

std::vector<std::string> own_gpus(const std::string& device) {
    if (!device.starts_with("cuda")) return {};
    std::vector<std::string> gpus;
    if (const std::optional<std::string> visible = config::visible_gpus()) {
        gpus = split(*visible, ',');
        std::erase(gpus, "");
        return gpus;
    }
    for (size_t i = 0; i < host().gpus.size(); ++i) gpus.push_back(std::to_string(i));
    return gpus;
}

}  // namespace knlp::matrix
