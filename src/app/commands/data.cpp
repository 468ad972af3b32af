#include "src/app/commands/data_verbs.h"
#include "src/app/parser.h"

#include "knlp/config/general.h"

#include <cstdio>
#include <utility>

namespace knlp::app {
namespace {

namespace fs = std::filesystem;
using Verb = int (*)(const Common&, const DataOptions&);

struct SubVerb {
    Parser parser;
    Verb run;
    bool prints_result;  // as Command's: the others heed --out themselves
};

DataOptions options;
std::vector<SubVerb> verbs;

Parser add_verb(Parser parser, const char* name, const char* summary, Verb verb,
                bool prints_result = false) {
    Parser sub = parser.add_subcommand(name, summary);
    verbs.push_back({sub, verb, prints_result});
    return sub;
}

void add_tokenizer(Parser sub, const char* fallback) {
    sub.add_option("--tokenizer", options.tokenizer,
                   std::string("byte, char, bpe or gpt2 (default: ") + fallback + ")")
        .one_of({"byte", "char", "bpe", "gpt2"})
        .type_name("KIND");
    sub.add_option("--tokenizer-files", options.tokenizer_files,
                   "use this BPE: a directory with vocab.json and merges.txt, or a rank file")
        .type_name("PATH");
    sub.add_option("--vocab", options.vocab,
                   "ids of a BPE trained here (default: 8192), or of imported tokens")
        .in_range(1, 1 << 24)
        .type_name("N");
}

/// Options of everything that writes a dataset.
void add_making(Parser sub) {
    sub.add_option("--layout", options.layout, "plain (nanoGPT) or llmc (default: plain)")
        .one_of({"plain", "llmc"})
        .type_name("LAYOUT");
    sub.add_option("--threads", options.threads, "threads of BPE training (default: all cores)")
        .in_range(0, 1024)
        .type_name("N");
    sub.add_flag("--force", options.force, "replace what is there");
}

void add_val_fraction(Parser sub) {
    sub.add_option("--val-fraction", options.val_fraction,
                   "share of the text, at its end, for validation (default: 0.1)")
        .type_name("F");
    sub.add_flag("--special", options.special, "\"<|endoftext|>\" in the text ends a document");
}

void add_makers(Parser parser) {
    Parser sub = add_verb(parser, "linuxdoc",
                          "kernel documentation as a dataset (the default text)", data_linuxdoc);
    sub.add_option("--src", options.source,
                   "linux-doc's tree or a kernel source tree (default: the installed package)")
        .type_name("DIR");
    sub.add_option("--deb", options.deb, "linux-doc package file, unpacked for this call")
        .type_name("FILE");
    sub.add_flag("--with-translations", options.with_translations,
                 "documentation in other languages too");
    add_tokenizer(sub, "byte");
    add_making(sub);

    sub = add_verb(parser, "import", "text, JSON Lines or token files as a dataset", data_import);
    sub.add_option("--name", options.name, "what the dataset is called")
        .required()
        .type_name("NAME");
    sub.add_option("--format", options.format, "txt, jsonl, tokens or llmc (default: txt)")
        .one_of({"txt", "jsonl", "tokens", "llmc"})
        .type_name("FORMAT");
    sub.add_option("--dtype", options.dtype,
                   "of headerless token files: uint16 or uint32 (default: uint16)")
        .one_of({"uint16", "uint32"})
        .type_name("TYPE");
    sub.add_option("source", options.files, "files or directories").required().type_name("SRC");
    add_tokenizer(sub, "byte");
    add_val_fraction(sub);
    add_making(sub);

    sub =
        add_verb(parser, "prepare", "text files as a dataset in the directory --out", data_prepare);
    sub.add_option("--text", options.files, "text files, or directories of them")
        .required()
        .type_name("FILE_OR_DIR");
    sub.add_option("--name", options.name, "what the dataset is called (default: the file's name)")
        .type_name("NAME");
    add_tokenizer(sub, "byte");
    add_val_fraction(sub);
    add_making(sub);

    sub = add_verb(parser, "synth", "synthetic text whose entropy is known", data_synth);
    sub.add_option("--kind", options.kind, "markov, copy, induction or arith (default: markov)")
        .one_of({"markov", "copy", "induction", "arith"})
        .type_name("KIND");
    sub.add_option("--tokens", options.tokens, "tokens in all (default: 1000000)").type_name("N");
    sub.add_option("--seed", options.seed, "of the draws (default: 1)");
    sub.add_option("--val-fraction", options.val_fraction, "share for validation (default: 0.1)")
        .type_name("F");
    add_making(sub);

    sub = add_verb(parser, "train-bpe", "train a byte-level BPE into the directory --out",
                   data_train_bpe);
    sub.add_option("--text", options.files,
                   "text files or directories (default: the kernel documentation's training part)")
        .type_name("FILE_OR_DIR");
    sub.add_option("--vocab", options.vocab, "ids: 256 bytes, merges, end of text (default: 8192)")
        .in_range(257, 1 << 24)
        .type_name("N");
    sub.add_option("--threads", options.threads, "threads (default: all cores)")
        .in_range(0, 1024)
        .type_name("N");
    sub.add_flag("--force", options.force, "replace what is there");
}

void add_users(Parser parser) {
    for (const auto& [name, summary, verb] :
         {std::tuple{"encode", "text to token ids, one line of numbers, or --out FILE.bin",
                     Verb{data_encode}},
          std::tuple{"decode", "token ids (numbers, a JSON array, or a .bin file) to text",
                     Verb{data_decode}}}) {
        Parser sub = add_verb(parser, name, summary, verb);
        sub.add_option("--tokenizer", options.tokenizer,
                       "byte, gpt2, or a dataset, tokenizer directory or rank file (default: byte)")
            .type_name("WHICH");
        sub.add_option("file", options.file, "input (default: standard input)").type_name("FILE");
        if (verb == data_encode)
            sub.add_flag("--special", options.special,
                         "\"<|endoftext|>\" in the text is the end-of-text token");
    }
    for (const auto& [name, summary, verb] :
         {std::tuple{"stats", "tokens, bytes per token, distinct ids and their entropy",
                     Verb{data_stats}},
          std::tuple{"check", "is a dataset whole? sizes, ids, hashes, tokenizer",
                     Verb{data_check}}}) {
        Parser sub = add_verb(parser, name, summary, verb, true);
        sub.add_option("dataset", options.target, "directory, or its name in the data directory")
            .required()
            .type_name("DATASET");
        sub.add_option("--tokenizer", options.name, "tokenizer of a directory without meta.json")
            .type_name("KIND");
    }
    add_verb(parser, "list", "datasets in the data directory", data_list, true);
    add_verb(parser, "hash", "SHA-256 of files, or of a dataset's parts", data_hash, true)
        .add_option("path", options.files, "files or dataset directories")
        .required()
        .type_name("PATH");
}

int run(const Common& common) {
    for (const SubVerb& verb : verbs) {
        if (!verb.parser.parsed()) continue;
        const auto call = [&](const Common& given) { return verb.run(given, options); };
        return verb.prints_result ? run_printing(common, call) : call(common);
    }
    return 2;
}

std::function<int(const Common&)> add_options(Parser parser) {
    options = {};
    verbs.clear();
    parser.require_subcommand();
    parser
        .add_option("--data-dir", options.data_dir,
                    "where datasets are (default: DATA_DIR of the configuration)")
        .type_name("DIR");
    add_makers(parser);
    add_users(parser);
    return run;
}

}  // namespace

fs::path data_directory(const Common& common, const DataOptions& given) {
    if (!given.data_dir.empty()) return given.data_dir;
    return config::read_general(load_symbols_or_defaults(common)).data_dir;
}

extern const Command cmd_data;
const Command cmd_data = {
    .name = "data",
    .summary = "make, check and describe datasets and tokenizers",
    .needs = "",
    .add_options = add_options,
    .examples =
        "knlp data linuxdoc --tokenizer bpe --vocab 8192\n"
        "knlp data import --name shakespeare --tokenizer char input.txt\n"
        "knlp data import --name finewebedu --format llmc --tokenizer gpt2 edu_fineweb10B/\n"
        "knlp data prepare --text notes/ --tokenizer byte --out data/notes\n"
        "knlp data synth --kind markov --tokens 1000000 --seed 7\n"
        "echo 'Hello world' | knlp data encode --tokenizer data/gpt2.tiktoken\n"
        "knlp data check linuxdoc-byte",
    .handles_stop = true,
    .obeys = "DATA_DIR LOG_LEVEL"};

}  // namespace knlp::app
