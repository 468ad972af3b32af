#pragma once

#include "knlp/bench/record.h"
#include "knlp/config/model.h"

#include <cstdint>
#include <vector>

namespace knlp::bench {

/// Inference on the CPU with weights that were only initialized: speed does not depend on them.
struct InferenceRequest {
    config::Model model;
    int64_t batch = 1;                                 // sequences
    std::vector<int64_t> contexts = {128, 512, 1024};  // decode: tokens seen, the new one included
    int64_t prompt = 1024;                             // prefill: tokens of each sequence
    int64_t chunk = 0;                                 // prefill: of them at once; 0 = all
    bool bf16 = false;                                 // weights held as bfloat16
    uint64_t seed = 1;
    int64_t threads = 1;
    int64_t samples = 9;        // at least 7 are taken
    double min_sample_s = 0.2;  // a sample of decoding repeats the token for this long
    int64_t read_bytes = 0;     // decode: the array that is read in turns with it; 0 = 1 GiB
};

/// "decode.sN" for every context N (Error{kUsage} beyond the model's): seconds of one token of each
/// sequence, logits included; bytes_moved are the weights, keys and values read. All contexts, a
/// single sequence and a pass over plain memory take turns. Results tokens_per_s; read_gbps, the
/// median of the bandwidths measured in turns; read_share, the median share of the bandwidth just
/// before and after; read_share_of_best, of the best that was measured; weight_bytes, kv_bytes;
/// with more than one sequence times_batch_1, the median ratio of tokens/s to those of one;
/// attention_ms, the part of the time that is attention; its samples are details' attention_s. The
/// last one has slope_ns and slope_attention_ns (least squares over the contexts, nanoseconds a
/// token of context, of all and of attention alone: the median of the rounds),
/// slope_attention_share, what attention explains of the growth, and slope_bytes_ns, what the keys
/// and values of a token of context take at read_gbps.
std::vector<Record> bench_decode(const InferenceRequest& request, const Machine& machine);

/// "prefill": seconds until the logits after the prompt, read in chunks, are there: the time to the
/// first token. Results tokens_per_s; gflops, of matrix products alone; gemm_gflops, of a whole
/// chunk's products by the fastest route of each, measured here; gemm_share, the ratio of both.
Record bench_prefill(const InferenceRequest& request);

/// Error{kRun, "E_MEMORY"} unless what they hold will fit: with the three largest terms and the
/// batch that would.
void require_decode_memory(const InferenceRequest& request);
void require_prefill_memory(const InferenceRequest& request);

}  // namespace knlp::bench
