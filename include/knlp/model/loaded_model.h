#pragma once

#include "knlp/config/model.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace knlp::data {
class Tokenizer;
}

namespace knlp::model {

class Gpt2;

struct LoadRequest {
    std::filesystem::path path;       // run, checkpoint or Hugging Face directory
    std::string device = "auto";      // auto cpu cuda cuda:N
    int64_t threads = 0;              // 0 = usable cores
    bool check_finite = false;        // refuse NaN and infinite weights
    bool untie = false;               // a head that differs from the token embedding is kept
    std::filesystem::path tokenizer;  // directory or rank file instead of the model's own
    bool bf16 = false;  // matrices are held as bfloat16, rounded once while they are read
};

/// A model with its weights and, where one is known, its tokenizer; for those who may not see
/// LibTorch.
class LoadedModel {
public:
    /// Starts the runtime and loads. Error{kData} as find_model and load_weights;
    /// Error{kNotAvailable} when the device is not there.
    explicit LoadedModel(const LoadRequest& request);
    ~LoadedModel();
    LoadedModel(LoadedModel&&) noexcept;

    Gpt2& gpt2();
    const config::Model& config() const;
    bool bf16() const;  // as asked for
    bool has_tokenizer() const;
    /// Error{kUsage} saying how to name one when there is none.
    const data::Tokenizer& tokenizer() const;
    const std::filesystem::path& weights() const;  // file or directory they came from
    std::filesystem::path run_directory() const;   // empty when the model is not part of a run
    std::string device() const;                    // "cpu", "cuda:0"
    double load_seconds() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace knlp::model
