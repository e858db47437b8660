// Bundles: what an experiment brings of its own, a folder of files (a model with its meshes, and
// what is to be done in it). A bundle is named by what is in it: the SHA-256 of one line
// "SHA256 BYTES PATH\n" for each file, sorted by path (bytes of UTF-8, '/' between names). On its
// way it is a manifest and the bytes of the files one after another in that order. Files come from
// people and peers, so every size and path is checked before a byte is written. Functions of files;
// threads may share, but two must not write one folder at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/violations.h"

namespace mentor {

inline constexpr uint64_t kBundleBytesMax = 256'000'000;
inline constexpr size_t kBundleFilesMax = 2000;
inline constexpr size_t kBundleFoldersMax = 2000;
inline constexpr size_t kBundlePathBytesMax = 255;

struct BundleFile {
  std::string path;  // Relative, names with '/' between them.
  uint64_t bytes = 0;
  std::string sha256;  // 64 digits.
  bool operator==(const BundleFile&) const = default;
};

struct BundleManifest {
  std::vector<BundleFile> files;  // Sorted by path.
  std::string digest;             // 64 digits.

  uint64_t bytes() const;  // Of all files.
  // What it takes of a disk, as quotas count it: 4 KiB for each file and folder besides its bytes.
  uint64_t disk_bytes() const;
  bool operator==(const BundleManifest&) const = default;
};

// The name of a bundle in specs and on command lines: "sha256:" and 64 digits of lower case.
std::string BundleName(std::string_view digest);
// What people know it by: "robot.xml (sha256:0123456789ab)", the first .xml beside its task, and
// digits for `mentorctl bundles`. Its name where there is none.
std::string BundleTitle(const BundleManifest& manifest);
// The digits of a name; INVALID_ARGUMENT says how one looks. Nothing else may become part of a
// path.
absl::StatusOr<std::string> ParseBundleName(std::string_view name);
bool IsBundleDigest(std::string_view digest);

// What a list of files is called.
std::string BundleDigest(const std::vector<BundleFile>& files);
// Everything that is wrong with a manifest from elsewhere: paths that lead out, are no plain text,
// stand twice, in a wrong order or within a file; sizes, counts of files and folders; a digest that
// is another one.
Violations CheckManifest(const BundleManifest& manifest);

// Whether a file or folder of that name is left out when somebody's folder becomes a bundle:
// version control (.git, .hg, .svn), swap files, locks and backups of editors, .DS_Store.
bool IsLeftOutOfBundles(std::string_view name);
// Reads somebody's folder, without what is left out; `left_out` gets the paths of that, folders
// with a '/' behind them. A symbolic link to a file within the folder is that file. Everything that
// a bundle cannot hold is named at once (INVALID_ARGUMENT): links that leave the folder or lead to
// folders, special files, names, sizes, too many. NOT_FOUND without the folder. Folders without
// files are no part.
absl::StatusOr<BundleManifest> ReadBundle(const std::filesystem::path& folder,
                                          std::vector<std::string>* left_out = nullptr);
// "FOLDER: left out of the bundle: .git/, robot.xml~"; empty for none.
std::string LeftOutText(const std::filesystem::path& folder,
                        const std::vector<std::string>& left_out);
// Reads a folder and compares, with or without what is left out; DATA_LOSS when it is not the
// bundle of that digest.
absl::StatusOr<BundleManifest> VerifyBundle(const std::filesystem::path& folder,
                                            std::string_view digest);

// Gives at least one and any number of the bytes of all files in their order, from an offset on.
using BundleSource = std::function<absl::StatusOr<std::string>(uint64_t offset)>;
// That of a folder, in pieces of at most bytes_max. Sizes are the manifest's: DATA_LOSS when a file
// has become shorter; contents are for the receiver to verify.
BundleSource FolderSource(std::filesystem::path folder, BundleManifest manifest,
                          size_t bytes_max = 1 << 20);

// Makes the folder, which must not exist, of what the source gives, and syncs it. A file whose
// SHA-256 differs, or bytes beyond the manifest's, are DATA_LOSS, a bad manifest INVALID_ARGUMENT;
// then nothing is left. `goes_on` is asked before each piece and each file: its error ends the
// work. Files are 0600, folders 0700.
absl::Status WriteBundle(const BundleManifest& manifest, const BundleSource& source,
                         const std::filesystem::path& folder,
                         const std::function<absl::Status()>& goes_on = nullptr);

}  // namespace mentor
