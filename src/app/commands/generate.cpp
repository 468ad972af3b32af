#include "model_memory.h"
#include "model_options.h"

#include "src/app/parser.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"
#include "knlp/core/signals.h"
#include "knlp/data/tokenizer.h"
#include "knlp/model/generation.h"
#include "knlp/model/gpt2.h"
#include "knlp/model/inference_memory.h"
#include "knlp/model/runtime.h"

#include <nlohmann/json.hpp>

#include <iostream>
#include <iterator>
#include <utility>

namespace knlp::app {
namespace {

constexpr int64_t kLargestPrompt = int64_t{64} << 20;

struct Options {
    ModelFlags model;
    std::string prompt, prompt_file, batch_file, overflow = "stop", truncate;
    model::GenerationOptions generation{.sampling = {.top_k = 200}};
    bool greedy = false, no_cache = false, ignore_eot = false, no_echo = false;
};
Options options;

std::string read_stdin() {
    return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

/// One prompt a line; a line of a .jsonl file is a JSON text or an object with "prompt".
std::vector<std::string> read_batch(const std::string& file) {
    const std::string text = file == "-" ? read_stdin() : read_file(file, kLargestPrompt);
    std::vector<std::string> prompts;
    std::string_view rest = text;
    for (int64_t line = 1; !rest.empty(); ++line) {
        const size_t end = std::min(rest.find('\n'), rest.size());
        const std::string one(rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
        if (!file.ends_with(".jsonl")) {
            prompts.push_back(one);
            continue;
        }
        if (one.empty()) continue;
        const std::string where = fmt::format("{}:{}", file, line);
        nlohmann::json item = parse_json(one, where);
        if (item.is_object() && item.contains("prompt")) item = item["prompt"];
        if (!item.is_string())
            fail(kData, "{}: neither a text nor an object with \"prompt\"", where);
        prompts.push_back(item.get<std::string>());
    }
    if (prompts.empty()) fail(kData, "{}: no prompts in it", file);
    return prompts;
}

std::vector<std::string> read_prompts() {
    if (!options.batch_file.empty()) return read_batch(options.batch_file);
    if (options.prompt_file == "-") return {read_stdin()};
    if (!options.prompt_file.empty()) return {read_file(options.prompt_file, kLargestPrompt)};
    return {options.prompt};
}

nlohmann::json json_of(const model::GenerationResult& result,
                       const std::vector<std::string>& prompts,
                       const std::filesystem::path& weights) {
    const model::SamplingOptions& sampling = options.generation.sampling;
    nlohmann::json rows = nlohmann::json::array();
    for (size_t i = 0; i < prompts.size(); ++i) {
        const model::GeneratedRow& row = result.rows[i];
        rows.push_back({{"prompt", prompts[i]},
                        {"text", row.text},
                        {"ids", row.ids},
                        {"finish_reason", name_of(row.reason)},
                        {"prompt_tokens", row.prompt_tokens},
                        {"truncated_tokens", row.truncated_tokens},
                        {"new_tokens", row.ids.size()}});
    }
    return {{"model", weights.string()},
            {"dtype", options.generation.bf16 ? "bf16" : "fp32"},
            {"sampling",
             {{"temperature", sampling.temperature},
              {"top_k", sampling.top_k},
              {"top_p", sampling.top_p},
              {"min_p", sampling.min_p},
              {"seed", sampling.seed}}},
            {"rows", rows},
            {"stats",
             {{"prompt_tokens", result.stats.prompt_tokens},
              {"new_tokens", result.stats.new_tokens},
              {"first_token_s", result.stats.first_token_s},
              {"decode_s", result.stats.decode_s},
              {"tokens_per_s", result.stats.tokens_per_s},
              {"cache_bytes", result.stats.cache_bytes}}}};
}

void log_stats(const model::GenerationResult& result) {
    const model::GenerationStats& stats = result.stats;
    log::info(
        "{} new tokens, {:.1f} tokens/s, first after {:.0f} ms ({} prompt tokens), cache {:.1f} "
        "MiB",
        stats.new_tokens, stats.tokens_per_s, 1e3 * stats.first_token_s, stats.prompt_tokens,
        static_cast<double>(stats.cache_bytes) / (1 << 20));
    for (const model::GeneratedRow& row : result.rows)
        if (row.reason == model::FinishReason::kContextFull)
            log::info("context full: the text ended there (--overflow slide goes on)");
}

void apply_switches() {
    model::GenerationOptions& generation = options.generation;
    if (options.greedy) generation.sampling.temperature = 0;
    generation.use_cache = !options.no_cache;
    generation.stop_at_eot = !options.ignore_eot;
    generation.overflow =
        options.overflow == "slide" ? model::Overflow::kSlide : model::Overflow::kStop;
    generation.truncate_left = options.truncate == "left";
    check_sampling(generation.sampling);
}

/// Error{kRun, "E_MEMORY"} unless the prompts fit into memory together, beside the model.
void require_memory(model::LoadedModel& model, const std::vector<std::vector<int32_t>>& prompts) {
    const model::GenerationOptions& generation = options.generation;
    const config::Model& shape = model.config();
    int64_t longest = 1;
    for (const std::vector<int32_t>& ids : prompts) longest = std::max(longest, std::ssize(ids));
    longest = std::min(longest, shape.n_ctx);
    const int64_t slots =
        std::min(shape.n_ctx, longest + std::min(generation.max_tokens, shape.n_ctx));
    require_room(
        model, std::ssize(prompts),
        [&](int64_t batch) {
            return model::inference_terms(
                shape, {.batch = batch,
                        .prompt = generation.use_cache ? std::min(longest, generation.prefill_chunk)
                                                       : slots,
                        .slots = generation.use_cache ? slots : 0,
                        .bf16 = generation.bf16});
        },
        [](int64_t fitting) {
            return fitting > 0 ? fmt::format("{} prompts at once would fit", fitting)
                               : "take --dtype bf16, fewer --max-tokens or a smaller model";
        });
}

int run(const Common& common) {
    apply_switches();
    const std::vector<std::string> prompts = read_prompts();
    model::LoadedModel model = load_model(common, options.model);
    options.generation.bf16 = model.bf16();
    const data::Tokenizer& tokenizer = model.tokenizer();
    std::vector<std::vector<int32_t>> ids;
    for (const std::string& prompt : prompts) ids.push_back(tokenizer.encode(prompt));
    require_memory(model, ids);
    if (common.dry_run) {
        for (size_t i = 0; i < ids.size(); ++i)
            log::info("prompt {}: {} tokens; would add up to {} with {}", i, ids[i].size(),
                      options.generation.max_tokens, model.weights().string());
        return 0;
    }

    const bool streaming = !common.json && prompts.size() == 1;
    bool reader_left = false, started = false;
    const auto put = [&](std::string_view text) { reader_left = reader_left || !put_stdout(text); };
    options.generation.should_stop = [&] { return stop_signal() != 0 || reader_left; };
    const model::TextListener show = [&](int64_t, std::string_view text) {
        if (!std::exchange(started, true) && !options.no_echo) put(prompts.front());
        put(text);
    };
    const model::GenerationResult result =
        generate(model.gpt2(), tokenizer, ids, options.generation, streaming ? show : nullptr);

    if (common.json) {
        put(canonical_json(json_of(result, prompts, model.weights())) + "\n");
    } else if (streaming) {
        show(0, "\n");
    } else {
        for (size_t i = 0; i < prompts.size(); ++i)
            put((options.no_echo ? "" : prompts[i]) + result.rows[i].text + "\n---\n");
    }
    if (!common.quiet) log_stats(result);
    return stop_signal() != 0 ? stop_exit_status(stop_signal()) : 0;
}

std::function<int(const Common&)> add_options(Parser verb) {
    model::GenerationOptions& generation = options.generation;
    add_model_flags(verb, options.model);
    add_compute_flags(verb, options.model);
    Option prompt = verb.add_option("-p,--prompt", options.prompt, "text to continue");
    Option file =
        verb.add_option("--prompt-file", options.prompt_file, "file with the prompt, - for stdin")
            .type_name("FILE");
    Option batch =
        verb.add_option("--batch-file", options.batch_file,
                        "file with one prompt a line (.jsonl: texts, or objects with \"prompt\")")
            .type_name("FILE");
    prompt.excludes(file).excludes(batch);
    file.excludes(batch);
    verb.add_option("-n,--max-tokens", generation.max_tokens, "new tokens (default: 200)");
    verb.add_option("--temperature", generation.sampling.temperature,
                    "0 = always the most likely token (default: 0.8)");
    verb.add_option("--top-k", generation.sampling.top_k,
                    "draw from the k most likely tokens, 0 = all (default: 200)");
    verb.add_option("--top-p", generation.sampling.top_p,
                    "draw from the fewest tokens of this probability together (default: 1)");
    verb.add_option(
        "--min-p", generation.sampling.min_p,
        "leave out tokens below this share of the likeliest one's probability (default: 0)");
    verb.add_option("--seed", generation.sampling.seed, "of the draws (default: 1)");
    verb.add_flag("--greedy", options.greedy, "same as --temperature 0");
    verb.add_option("--stop", generation.stop, "end before this text (repeatable)").one_at_a_time();
    verb.add_flag("--ignore-eot", options.ignore_eot, "go on after an end of text");
    verb.add_flag("--no-cache", options.no_cache, "run the whole context for every token");
    verb.add_option("--prefill-chunk", generation.prefill_chunk,
                    "prompt tokens of a row read at once (default: 1024)");
    verb.add_option(
            "--overflow", options.overflow,
            "when the context is full: stop, or slide on with its last half (default: stop)")
        .one_of({"stop", "slide"})
        .type_name("WHAT");
    verb.add_option("--truncate", options.truncate, "left: a prompt too long loses its beginning")
        .one_of({"left"})
        .type_name("SIDE");
    verb.add_flag("--no-echo", options.no_echo, "do not print the prompt before its continuation");
    return run;
}

}  // namespace

extern const Command cmd_generate;
const Command cmd_generate = {
    .name = "generate",
    .summary = "continue a text with a trained model",
    .needs = "",
    .add_options = add_options,
    .examples =
        "knlp generate --prompt \"The scheduler\" -n 200 --temperature 0.8 --top-k 200 --seed 7\n"
        "knlp generate --model results/runs/NAME --prompt-file - --greedy < prompt.txt\n"
        "knlp generate --batch-file prompts.txt --json --stop \"\\n\\n\"",
    .handles_stop = true,
    .prints_result = true,
    .obeys = "OUTPUT_DIR LOG_LEVEL"};

}  // namespace knlp::app
