#include "envs/state_codec.h"

#include <bit>
#include <cmath>
#include <cstring>

#include <absl/strings/str_cat.h>

namespace mentor::envs {
namespace {

static_assert(std::endian::native == std::endian::little);
constexpr std::string_view kMagic = "MENVST01";

absl::Status Bad(std::string_view environment, const std::string& what) {
  return absl::InvalidArgumentError(
      absl::StrCat("state of ", std::string(environment), ": ", what));
}

}  // namespace

std::string EncodeState(std::string_view environment, std::span<const double> numbers) {
  const uint32_t name_length = static_cast<uint32_t>(environment.size());
  const uint64_t count = numbers.size();
  std::string state(kMagic);
  state.append(reinterpret_cast<const char*>(&name_length), sizeof(name_length));
  state.append(environment);
  state.append(reinterpret_cast<const char*>(&count), sizeof(count));
  state.append(reinterpret_cast<const char*>(numbers.data()), numbers.size_bytes());
  return state;
}

absl::Status DecodeState(std::string_view environment, std::string_view state, size_t min_count,
                         size_t max_count, std::vector<double>* out, std::string_view* rest) {
  const auto take = [&state](void* to, size_t bytes) {
    if (state.size() < bytes) return false;
    if (bytes > 0) std::memcpy(to, state.data(), bytes);  // An empty vector has no address.
    state.remove_prefix(bytes);
    return true;
  };
  if (!state.starts_with(kMagic)) return Bad(environment, "does not begin with MENVST01");
  state.remove_prefix(kMagic.size());
  uint32_t name_length = 0;
  if (!take(&name_length, sizeof(name_length)) || state.size() < name_length)
    return Bad(environment, "is cut short");
  if (const std::string_view name = state.substr(0, name_length); name != environment) {
    return Bad(environment, absl::StrCat("belongs to '", std::string(name.substr(0, 100)), "'"));
  }
  state.remove_prefix(name_length);
  uint64_t count = 0;
  if (!take(&count, sizeof(count))) return Bad(environment, "is cut short");
  if (count < min_count || count > max_count) {
    return Bad(environment,
               absl::StrCat("has ", count, " numbers, expected ", min_count,
                            min_count == max_count ? "" : absl::StrCat(" to ", max_count)));
  }
  if (state.size() < count * sizeof(double) ||
      (rest == nullptr && state.size() != count * sizeof(double))) {
    return Bad(environment, absl::StrCat("has ", state.size(), " bytes of numbers, expected ",
                                         count * sizeof(double)));
  }
  out->resize(count);
  take(out->data(), count * sizeof(double));
  if (rest != nullptr) *rest = state;
  for (size_t i = 0; i < out->size(); ++i) {
    if (!std::isfinite((*out)[i]))
      return Bad(environment, absl::StrCat("number ", i, " is not finite"));
  }
  return absl::OkStatus();
}

}  // namespace mentor::envs
