#pragma once

#include "knlp/app/command.h"
#include "knlp/data/prepare.h"

#include <filesystem>
#include <string>
#include <vector>

namespace knlp::app {

/// What the subcommands of `knlp data` were given.
struct DataOptions {
    std::string data_dir;  // --data-dir, else DATA_DIR of the configuration, else "data"
    std::string tokenizer = "byte", tokenizer_files, layout = "plain";
    int64_t vocab = 0;
    double val_fraction = 0.1;
    bool special = false, force = false;
    int64_t threads = 0;

    std::string source, deb;  // linuxdoc
    bool with_translations = false;
    std::string name, format = "txt", dtype = "uint16";
    std::vector<std::string> files;  // import, prepare, train-bpe, hash
    std::string kind = "markov";     // synth
    int64_t tokens = 1'000'000;
    uint64_t seed = 1;
    std::string file, target;  // encode, decode; stats, check
};

/// Makers: they write a dataset directory and print its sidecar.
int data_linuxdoc(const Common& common, const DataOptions& options);
int data_import(const Common& common, const DataOptions& options);
int data_prepare(const Common& common, const DataOptions& options);
int data_synth(const Common& common, const DataOptions& options);
int data_train_bpe(const Common& common, const DataOptions& options);

/// Users of what is there.
int data_encode(const Common& common, const DataOptions& options);
int data_decode(const Common& common, const DataOptions& options);
int data_stats(const Common& common, const DataOptions& options);
int data_check(const Common& common, const DataOptions& options);
int data_list(const Common& common, const DataOptions& options);
int data_hash(const Common& common, const DataOptions& options);

/// The data directory of this call.
std::filesystem::path data_directory(const Common& common, const DataOptions& options);

}  // namespace knlp::app
