// Bundles: folders of files that an experiment brings along (a model with its meshes, and its
// task). A bundle is named by its contents. Its digest is the SHA-256 of one line "SHA256 BYTES
// PATH\n" for each file, sorted by path (bytes of UTF-8, '/' between names). A bundle is sent as a
// manifest and the bytes of the files one after another in that order. Files come from users and
// peers, so every size and path is checked before a byte is written. Functions on files; threads
// may share them, but two must not write one folder at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <google/protobuf/repeated_field.h>

#include "common/violations.h"
#include "mentor/v1/bundle.pb.h"

namespace mentor {

inline constexpr uint64_t kBundleBytesMax = 256'000'000;
inline constexpr size_t kBundleFilesMax = 2000;
inline constexpr size_t kBundleFoldersMax = 2000;
inline constexpr size_t kBundlePathBytesMax = 255;

struct BundleFile {
  std::string path;  // Relative, with '/' between names.
  uint64_t bytes = 0;
  std::string sha256;  // 64 digits.
  bool operator==(const BundleFile&) const = default;
};

struct BundleManifest {
  std::vector<BundleFile> files;  // Sorted by path.
  std::string digest;             // 64 digits.

  uint64_t bytes() const;  // Sum over all files.
  // Disk space as quotas count it: the bytes plus 4 KiB for each file and folder.
  uint64_t disk_bytes() const;
  bool operator==(const BundleManifest&) const = default;
};

void FilesToProto(const BundleManifest& manifest,
                  google::protobuf::RepeatedPtrField<v1::BundleFile>* files);
// Converts a peer's list without checks; use CheckManifest.
BundleManifest ManifestFromProto(const std::string& digest,
                                 const google::protobuf::RepeatedPtrField<v1::BundleFile>& files);

// The name of a bundle in specs and on command lines: "sha256:" and 64 digits of lower case.
std::string BundleName(std::string_view digest);
// Title for people: "robot.xml (sha256:0123456789ab)". The file is the first .xml beside the task;
// `mentorctl bundles` accepts the digits. Returns the bundle's name if there is no such file.
std::string BundleTitle(const BundleManifest& manifest);
// Returns the digits of a name; INVALID_ARGUMENT explains the form. Only checked digits may become
// part of a path.
absl::StatusOr<std::string> ParseBundleName(std::string_view name);
bool IsBundleDigest(std::string_view digest);

// Returns the digest that names these files.
std::string BundleDigest(const std::vector<BundleFile>& files);
// Returns all faults of a manifest from elsewhere. Paths: outside the bundle, not plain text,
// repeated, unsorted, or below a file. Also sizes, counts of files and folders, and a wrong digest.
Violations CheckManifest(const BundleManifest& manifest);

// True if files and folders of that name are left out of bundles. They are version control (.git,
// .hg, .svn), swap files, locks and backups of editors, and .DS_Store.
bool IsLeftOutOfBundles(std::string_view name);
// Reads a user's folder without what is left out; `left_out` gets those paths, folders with a
// trailing '/'. A symbolic link to a file within the folder is read as that file. INVALID_ARGUMENT
// lists everything that a bundle cannot hold: links that leave the folder or lead to folders,
// special files, names, sizes, too many files. NOT_FOUND without the folder. Folders without files
// are not part of a bundle.
absl::StatusOr<BundleManifest> ReadBundle(const std::filesystem::path& folder,
                                          std::vector<std::string>* left_out = nullptr);
// Returns "FOLDER: left out of the bundle: .git/, robot.xml~"; empty if nothing was left out.
std::string LeftOutText(const std::filesystem::path& folder,
                        const std::vector<std::string>& left_out);
// Reads a folder, with or without what is left out, and compares. DATA_LOSS if it is not the bundle
// of that digest.
absl::StatusOr<BundleManifest> VerifyBundle(const std::filesystem::path& folder,
                                            std::string_view digest);

// Returns one or more of the bytes of all files in their order, beginning at an offset.
using BundleSource = std::function<absl::StatusOr<std::string>(uint64_t offset)>;
// Reads a folder, in pieces of at most bytes_max. The manifest gives the sizes: DATA_LOSS if a file
// has become shorter. The receiver must verify the contents.
BundleSource FolderSource(std::filesystem::path folder, BundleManifest manifest,
                          size_t bytes_max = 1 << 20);

// Creates the folder, which must not exist, from the source's bytes, and syncs it. DATA_LOSS for a
// file whose SHA-256 differs, or for bytes beyond the manifest's; INVALID_ARGUMENT for a bad
// manifest. On an error nothing is left. `goes_on` is called before each piece and each file; its
// error ends the work. Files have mode 0600, folders 0700.
absl::Status WriteBundle(const BundleManifest& manifest, const BundleSource& source,
                         const std::filesystem::path& folder,
                         const std::function<absl::Status()>& goes_on = nullptr);

}  // namespace mentor
