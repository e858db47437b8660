// Files that prove themselves: the first line is "# sha256 HEX", the SHA-256 of everything after
// it. In protobuf's text format the line is a comment. Pure functions; threads may share.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>
#include <google/protobuf/message.h>

namespace mentor {

std::string Sealed(std::string_view contents);
// The same for a message in protobuf's text format.
std::string SealedText(const google::protobuf::Message& message);
// Serializes deterministically: equal messages have equal bytes.
std::string StableBytes(const google::protobuf::Message& message);

// Returns the contents without the line. Returns DATA_LOSS, with the path, when they are not those
// that were sealed. Contents without the line, of earlier versions, are returned as they are.
absl::StatusOr<std::string> Unsealed(std::string_view file, const std::filesystem::path& path);
bool IsSealed(std::string_view file);

}  // namespace mentor
