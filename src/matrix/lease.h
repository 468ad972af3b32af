#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace knlp::matrix {

/// A core or a GPU of this machine that one cell of a matrix has at a time, whichever runner
/// started it: a lock on a file in claims/.leases, which the cell's process inherits. A cell that
/// outlives its runner keeps what it has.
class Lease {
public:
    static std::optional<Lease> take(const std::filesystem::path& matrix, const std::string& name);
    ~Lease();
    Lease(Lease&& other) noexcept;
    Lease& operator=(Lease&& other) noexcept;
    int fd() const { return fd_; }

private:
    explicit Lease(int fd) : fd_(fd) {}
    int fd_ = -1;
};

/// What a cell runs on. Its leases end here once the process has inherited them.
struct Place {
    std::vector<int> cores;  // empty: those of the runner
    std::string gpu;         // "" : those of the runner
    std::vector<Lease> leases;
};

/// Divides this machine's cores and GPUs among cells.
class Places {
public:
    /// `cores` and `gpus` are the names of those there are. With one cell at a time nothing is
    /// divided.
    Places(std::filesystem::path matrix, std::vector<int> cores, std::vector<std::string> gpus,
           int64_t jobs);
    /// nullopt when other cells have what is needed.
    std::optional<Place> take(int64_t threads) const;
    /// So many cells of `threads` threads can run at once, one at least.
    int64_t room(int64_t threads) const;

private:
    bool take_cores(Place& place, int64_t threads) const;
    bool take_gpu(Place& place) const;

    std::filesystem::path matrix_;
    std::vector<int> cores_;
    std::vector<std::string> gpus_;
    bool divide_;
};

/// Numbers of the cores this process may use, at most usable_cores() of them.
std::vector<int> own_cores();
/// GPUs that a run of this device may use: those of CUDA_VISIBLE_DEVICES, else all; none for "cpu".
std::vector<std::string> own_gpus(const std::string& device);

}  // namespace knlp::matrix
