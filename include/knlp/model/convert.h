#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace knlp::model {

/// A tensor of a model's files.
struct TensorRow {
    std::string name, dtype, role, file;  // role "" for a tensor that is not a parameter
    std::vector<int64_t> shape;           // as stored
    bool decay = false;                   // weight decay applies in training
};
/// Every tensor of a run, checkpoint or Hugging Face directory, in file order; no weights are read.
std::vector<TensorRow> list_tensors(const std::filesystem::path& model);

struct ExportRequest {
    std::filesystem::path model, out;
    std::filesystem::path tokenizer;           // instead of the model's own; may be empty
    bool force = false;                        // replace a model directory that exists
    bool check_finite = false, untie = false;  // as LoadRequest
};
struct ExportSummary {
    std::vector<std::string> files;  // names in `out`
    int64_t bytes = 0;
    std::string tokenizer;  // kind written, or ""
};
/// Writes `out` as transformers reads it: model.safetensors (fp32, names under "transformer."),
/// config.json and, for byte-level BPE, vocab.json and merges.txt. Other tokenizers go into
/// out/tokenizer, where only knlp looks. `out` appears complete or not at all.
/// Stopped when a signal comes, before the next tensor; nothing is left then.
/// Error{kUsage} when `out` exists and is not empty, unless force; with force, when it is no model.
ExportSummary export_hugging_face(const ExportRequest& request);

/// Writes the file `out` as llm.c's train_gpt2 reads it ("gpt2_124M.bin"): 256 int32, of which
/// magic 20240326, version 3, n_ctx, vocab_size, n_layer, n_head, d_model, padded vocabulary; then
/// fp32 tensors, each kind for all layers before the next, linear weights [out, in]. The vocabulary
/// is padded with zeros to a multiple of 128; biases that the model lacks are zeros. Error{kData}
/// for a model that llm.c does not compute: erf GELU, an untied head, another attention or epsilon.
/// Error{kUsage} when `out` exists, unless force and it is such a file. Stopped as above.
ExportSummary export_llmc(const ExportRequest& request);

}  // namespace knlp::model
