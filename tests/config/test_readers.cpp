#include "knlp/config/data.h"
#include "knlp/config/general.h"
#include "knlp/config/matrix.h"
#include "knlp/config/model.h"
#include "knlp/config/symbols.h"
#include "knlp/config/train.h"
#include "tests/support/expect_error.h"

#include <gtest/gtest.h>

namespace knlp::config {
namespace {

Symbols with(const std::map<std::string, std::string>& values) {
    return Symbols::from_values(values);
}

TEST(Readers, GeneralIsReadAsSet) {
    const General g = read_general(with({{"SEED", "42"},
                                         {"DETERMINISTIC", "n"},
                                         {"DEVICE", "cuda:1"},
                                         {"ALLOW_CPU_FALLBACK", "n"},
                                         {"NUM_THREADS", "3"},
                                         {"DATA_DIR", "d"},
                                         {"OUTPUT_DIR", "o"},
                                         {"LOG_LEVEL", "DEBUG"}}));
    EXPECT_EQ(g.seed, 42u);
    EXPECT_FALSE(g.deterministic);
    EXPECT_EQ(g.device, "cuda:1");
    EXPECT_FALSE(g.allow_cpu_fallback);
    EXPECT_EQ(g.num_threads, 3);
    EXPECT_EQ(g.data_dir, "d");
    EXPECT_EQ(g.output_dir, "o");
    EXPECT_EQ(g.log_level, "DEBUG");
}

TEST(Readers, SizesAreThePublishedOnes) {
    struct Row {
        const char* symbol;
        const char* name;
        int64_t n_layer, n_head, d_model;
    };
    // Radford et al. 2019, table 2, and the project's two small ones.
    for (const Row& row :
         {Row{"GPT2_MODEL_NANO", "nano", 4, 4, 128}, Row{"GPT2_MODEL_TINY", "tiny", 6, 8, 512},
          Row{"GPT2_MODEL_124M", "124M", 12, 12, 768}, Row{"GPT2_MODEL_350M", "350M", 24, 16, 1024},
          Row{"GPT2_MODEL_774M", "774M", 36, 20, 1280},
          Row{"GPT2_MODEL_1558M", "1558M", 48, 25, 1600}}) {
        const Model m = read_model(with({{row.symbol, "y"}}));
        EXPECT_EQ(m.size, row.name);
        EXPECT_EQ(m.n_layer, row.n_layer) << row.name;
        EXPECT_EQ(m.n_head, row.n_head) << row.name;
        EXPECT_EQ(m.d_model, row.d_model) << row.name;
    }
}

TEST(Readers, CustomSizeIsReadFromItsThreeSymbols) {
    const Model m = read_model(with({{"GPT2_MODEL_CUSTOM", "y"},
                                     {"GPT2_N_LAYER", "2"},
                                     {"GPT2_N_HEAD", "2"},
                                     {"GPT2_N_EMBD", "32"}}));
    EXPECT_EQ(m.size, "custom");
    EXPECT_EQ(m.n_layer, 2);
    EXPECT_EQ(m.n_head, 2);
    EXPECT_EQ(m.d_model, 32);
    EXPECT_EQ(m.d_head(), 16);
}

TEST(Readers, ModelIsReadAsSet) {
    const Model m = read_model(with({{"GPT2_BLOCK_SIZE", "64"},
                                     {"GPT2_VOCAB_SIZE", "50257"},
                                     {"GPT2_PAD_VOCAB", "64"},
                                     {"GPT2_DROPOUT", "0.25"},
                                     {"GPT2_BIAS", "n"},
                                     {"GPT2_WEIGHT_TYING", "n"},
                                     {"GPT2_GELU_ERF", "y"},
                                     {"GPT2_ATTENTION_REFERENCE", "y"},
                                     {"LOSS_CHUNK", "32"}}));
    EXPECT_EQ(m.n_ctx, 64);
    EXPECT_EQ(m.vocab_size, 50257);
    EXPECT_EQ(m.padded_vocab(), 50304);
    EXPECT_EQ(m.dropout, 0.25);
    EXPECT_FALSE(m.bias);
    EXPECT_FALSE(m.weight_tying);
    EXPECT_EQ(m.gelu, Gelu::kErf);
    EXPECT_EQ(m.attention_backend, AttentionBackend::kReference);
    EXPECT_EQ(m.loss_chunk, 32);
    EXPECT_EQ(read_model(with({{"GPT2_ATTENTION_FUSED", "y"}})).attention_backend,
              AttentionBackend::kFused);
    EXPECT_EQ(read_model(with({})).attention_backend, AttentionBackend::kAuto);
    EXPECT_EQ(read_model(with({})).gelu, Gelu::kTanh);
}

TEST(Readers, EveryDatasetAndTokenizerHasItsName) {
    const std::pair<const char*, const char*> sets[] = {
        {"LINUXDOC", "linuxdoc"},       {"SHAKESPEARE", "shakespeare"},
        {"FINEWEBEDU", "finewebedu"},   {"OPENWEBTEXT", "openwebtext"},
        {"TINYSTORIES", "tinystories"}, {"SYNTHETIC", "synthetic"}};
    for (const auto& [symbol, name] : sets)
        EXPECT_EQ(read_data(with({{std::string("GPT2_DATASET_") + symbol, "y"}})).dataset, name);
    const std::pair<const char*, const char*> tokenizers[] = {
        {"BYTE", "byte"}, {"CHAR", "char"}, {"BPE_TRAINED", "bpe"}, {"GPT2", "gpt2"}};
    for (const auto& [symbol, name] : tokenizers)
        EXPECT_EQ(read_data(with({{std::string("GPT2_TOKENIZER_") + symbol, "y"}})).tokenizer,
                  name);
}

TEST(Readers, DataIsReadAsSet) {
    const Data d = read_data(with({{"GPT2_DATASET_CUSTOM", "y"},
                                   {"GPT2_CUSTOM_DATASET_PATH", "my.txt"},
                                   {"GPT2_TOKENIZER_BPE_TRAINED", "y"},
                                   {"GPT2_BPE_VOCAB", "1024"},
                                   {"DATA_SUBSTITUTE", "y"},
                                   {"DATA_SYNTHETIC_FALLBACK", "y"},
                                   {"GPT2_EVAL_TOKENS", "4096"}}));
    EXPECT_EQ(d.dataset, "custom");
    EXPECT_EQ(d.custom_path, "my.txt");
    EXPECT_EQ(d.bpe_vocab, 1024);
    EXPECT_TRUE(d.allow_substitute);
    EXPECT_TRUE(d.synthetic_fallback);
    EXPECT_EQ(d.eval_tokens, 4096);
}

TEST(Readers, BatchIsGivenOrChosen) {
    const Train manual = read_train(
        with({{"HYPER_PARAM_MANUAL", "y"}, {"BATCH_SIZE", "6"}, {"GRADIENT_ACCUMULATION", "4"}}));
    EXPECT_FALSE(manual.auto_batch);
    EXPECT_EQ(manual.batch, 6);
    EXPECT_EQ(manual.accumulation, 4);
    EXPECT_EQ(manual.effective_batch, 24);
    const Train chosen =
        read_train(with({{"HYPER_PARAM_AUTO", "y"}, {"TARGET_EFFECTIVE_BATCH", "96"}}));
    EXPECT_TRUE(chosen.auto_batch);
    EXPECT_EQ(chosen.effective_batch, 96);
}

TEST(Readers, ScheduleIsReadAsSet) {
    const Train t = read_train(with({{"GPT2_MAX_ITERS", "11"},
                                     {"GPT2_MAX_TOKENS", "5000000000"},
                                     {"GPT2_MAX_TIME", "60"},
                                     {"LEARNING_RATE", "1e-3"},
                                     {"GPT2_MIN_LR", "1e-4"},
                                     {"LR_SCHEDULE_WSD", "y"},
                                     {"GPT2_WARMUP_STEPS", "7"},
                                     {"GPT2_WARMUP_FRACTION", "0.1"}}));
    EXPECT_EQ(t.max_iters, 11);
    EXPECT_EQ(t.max_tokens, 5000000000);
    EXPECT_EQ(t.max_time_s, 60.0);
    EXPECT_EQ(t.learning_rate, 1e-3);
    EXPECT_EQ(t.min_lr, 1e-4);
    EXPECT_EQ(t.schedule, Schedule::kWsd);
    EXPECT_EQ(t.warmup_steps, 7);
    EXPECT_EQ(t.warmup_fraction, 0.1);
    EXPECT_EQ(read_train(with({})).schedule, Schedule::kCosine);
    EXPECT_EQ(read_train(with({{"LR_SCHEDULE_LINEAR", "y"}})).schedule, Schedule::kLinear);
    EXPECT_EQ(read_train(with({{"LR_SCHEDULE_CONSTANT", "y"}})).schedule, Schedule::kConstant);
    EXPECT_EQ(read_train(with({{"GPT2_DECAY_LR", "n"}})).schedule, Schedule::kConstant);
}

TEST(Readers, RecordsAndNumbersAreReadAsSet) {
    const Train t = read_train(with({{"GPT2_EVAL_INTERVAL", "5"},
                                     {"GPT2_LOG_INTERVAL", "2"},
                                     {"CHECKPOINT_INTERVAL", "9"},
                                     {"CHECKPOINT_KEEP", "4"},
                                     {"ENABLE_TENSORBOARD", "n"},
                                     {"SYS_MONITOR_INTERVAL_MS", "2500"},
                                     {"MIXED_PRECISION", "y"},
                                     {"GPT2_AMP_DTYPE", "bfloat16"},
                                     {"EVAL_PRECISION", "bfloat16"},
                                     {"MAX_BAD_STEPS", "3"},
                                     {"SANITY_OVERFIT", "y"},
                                     {"GEMM_ONEDNN", "y"},
                                     {"GPT2_GENERATION_TEMPERATURE", "0.5"},
                                     {"GPT2_GENERATION_TOP_K", "0"},
                                     {"GPT2_GENERATION_TOP_P", "0.9"},
                                     {"GPT2_GENERATION_MAX_TOKENS", "12"}}));
    EXPECT_EQ(t.eval_interval, 5);
    EXPECT_EQ(t.log_interval, 2);
    EXPECT_EQ(t.checkpoint_interval, 9);
    EXPECT_EQ(t.checkpoint_keep, 4);
    EXPECT_FALSE(t.tensorboard);
    EXPECT_EQ(t.sys_monitor_s, 2.5);
    EXPECT_EQ(read_train(with({{"SYS_MONITOR", "n"}})).sys_monitor_s, 0);
    EXPECT_EQ(t.precision, Precision::kBfloat16);
    EXPECT_EQ(t.eval_precision, Precision::kBfloat16);
    EXPECT_EQ(t.max_bad_steps, 3);
    EXPECT_TRUE(t.sanity_overfit);
    EXPECT_EQ(t.gemm, "onednn");
    EXPECT_EQ(t.sample_temperature, 0.5);
    EXPECT_EQ(t.sample_top_k, 0);
    EXPECT_EQ(t.sample_top_p, 0.9);
    EXPECT_EQ(t.sample_tokens, 12);
    EXPECT_FALSE(read_train(with({{"SAVE_CHECKPOINT", "n"}})).save_checkpoint);
    EXPECT_EQ(read_train(with({{"MIXED_PRECISION", "n"}})).precision, Precision::kFloat32);
    EXPECT_EQ(read_train(with({{"GEMM_ATEN", "y"}})).gemm, "aten");
}

TEST(Readers, OptimizerIsReadAsSet) {
    const Optimizer o = read_optimizer(with({{"ADAM_BETA1", "0.8"},
                                             {"ADAM_BETA2", "0.9"},
                                             {"ADAM_EPSILON", "1e-7"},
                                             {"WEIGHT_DECAY", "0.3"},
                                             {"GRADIENT_CLIP_NORM", "0"}}));
    EXPECT_EQ(o.name, "adamw");
    EXPECT_EQ(o.beta1, 0.8);
    EXPECT_EQ(o.beta2, 0.9);
    EXPECT_EQ(o.epsilon, 1e-7);
    EXPECT_EQ(o.weight_decay, 0.3);
    EXPECT_EQ(o.clip_norm, 0.0);
}

TEST(Readers, SpamModesHaveTheirDefaults) {
    const Optimizer paper =
        read_optimizer(with({{"ENABLE_SPAM", "y"}, {"OPTIMIZER_SELECT_ADAMWSPAM", "y"}}));
    EXPECT_EQ(paper.name, "adamw_spam");
    EXPECT_FALSE(paper.spam_knlp);
    EXPECT_EQ(paper.spam_theta, 5000.0);
    EXPECT_EQ(paper.spam_interval, 500);
    EXPECT_EQ(paper.spam_warmup_steps, 150);
    EXPECT_EQ(paper.spam_grace_steps, 20);
    const Optimizer knlp = read_optimizer(
        with({{"ENABLE_SPAM", "y"}, {"OPTIMIZER_SELECT_ADAMWSPAM", "y"}, {"SPAM_MODE_KNLP", "y"}}));
    EXPECT_TRUE(knlp.spam_knlp);
    EXPECT_EQ(knlp.spam_theta, 50.0);
    EXPECT_EQ(knlp.spam_interval, 1000);
    EXPECT_EQ(knlp.spam_warmup_steps, 100);
    EXPECT_TRUE(knlp.spam_zscore);
    EXPECT_EQ(knlp.spam_spike_threshold, 2.0);
    EXPECT_EQ(knlp.spam_zscore_window, 100);
}

TEST(ReadOptimizer, RefusesSeveralForOneRun) {
    test::expect_error(kConfig, {"OPTIMIZER_MODE_MULTIPLE=y", "OPTIMIZER_MODE_SINGLE=y"}, [] {
        read_optimizer(with({{"OPTIMIZER_MODE_MULTIPLE", "y"}}));
    });
}

TEST(ReadMatrix, DefaultsAreOneAxisLessAndThreeSeeds) {
    const Matrix m = read_matrix(with({}));
    EXPECT_TRUE(m.menus.empty());
    EXPECT_EQ(m.seeds, (std::vector<uint64_t>{1, 2, 3}));
    EXPECT_EQ(m.budget, "iterations");
    EXPECT_EQ(m.jobs, 1);
    EXPECT_EQ(m.max_retries, 1);
    EXPECT_FALSE(m.stop_on_failure);
}

TEST(ReadMatrix, MenuOfOptimizersIsAnAxis) {
    const Matrix m = read_matrix(with({{"ENABLE_SPAM", "y"}, {"OPTIMIZER_MODE_MULTIPLE", "y"}}));
    ASSERT_EQ(m.menus.size(), 1u);
    EXPECT_EQ(m.menus[0].name, "optimizer");
    ASSERT_EQ(m.menus[0].values.size(), 2u);
    EXPECT_EQ(m.menus[0].values[0].label, "adamw");
    EXPECT_EQ(m.menus[0].values[1].label, "adamw_spam");
    EXPECT_EQ(m.menus[0].values[1].settings[1].first, "OPTIMIZER_SELECT_ADAMWSPAM");
}

TEST(ReadMatrix, BudgetsHaveNames) {
    EXPECT_EQ(read_matrix(with({{"MATRIX_BUDGET_TOKENS", "y"}})).budget, "tokens");
    EXPECT_EQ(read_matrix(with({{"MATRIX_BUDGET_FLOPS", "y"}})).budget, "flops");
    EXPECT_EQ(read_matrix(with({{"MATRIX_BUDGET_TIME", "y"}})).budget, "time");
}

TEST(ReadMatrix, RefusesSeedsThatMakeNoExperiment) {
    const std::vector<std::pair<std::string, std::string>> rows = {
        {"", "MATRIX_SEEDS is empty"}, {"1,2,1", "seed 1 is there twice"}, {"-1", "outside 0.."}};
    for (const auto& [seeds, text] : rows)
        test::expect_error(kConfig, {text}, [&] { read_matrix(with({{"MATRIX_SEEDS", seeds}})); });
}

TEST(ReadMatrix, RefusesAMenuWithNothingOn) {
    test::expect_error(kConfig, {"no optimizer is on"}, [] {
        read_matrix(with({{"OPTIMIZER_MODE_MULTIPLE", "y"},
                          {"OPTIMIZER_ENABLE_ADAMW", "n"},
                          {"OPTIMIZER_ENABLE_ADAMWSPAM", "n"}}));
    });
}

}  // namespace
}  // namespace knlp::config
