#include "actor/episodic_network.h"

#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/episodic_lookup.h"

namespace mentor::actor {
namespace {

constexpr uint32_t kNeighboursMax = 1'000'000;

// The rows of one action.
struct Table {
  std::vector<float> keys, values;  // [n, K], [n]
};

class Episodic final : public PolicyNetwork {
 public:
  Episodic(const KeyNetwork& network, const v1::EpisodicSizes& sizes, std::vector<float> encoder,
           std::vector<Table> tables)
      : encoder_weights_(std::move(encoder)),
        tables_(std::move(tables)),
        encoder_(network),
        lookup_(sizes),
        key_(sizes.key()) {}

  void Forward(std::span<const float> observation, PolicyOutput* output) override {
    encoder_.Encode(encoder_weights_.data(), observation, key_);
    for (size_t a = 0; a < tables_.size(); ++a) {
      output->mean[static_cast<Eigen::Index>(a)] =
          static_cast<float>(lookup_.Value({tables_[a].keys, tables_[a].values}, key_));
    }
  }

 private:
  const std::vector<float> encoder_weights_;
  const std::vector<Table> tables_;  // [A]
  KeyEncoder<float> encoder_;
  Lookup<float> lookup_;
  std::vector<float> key_;
};

absl::Status CheckSizes(const v1::PolicyWeights& weights) {
  const v1::EpisodicSizes& sizes = weights.episodic();
  if (!weights.discrete())
    return absl::InvalidArgumentError("policy: values are looked up for discrete actions only");
  for (const uint32_t size : {weights.observation_size(), weights.action_size(), sizes.key()}) {
    if (size >= 1 && size <= kPolicySizeMax) continue;
    return absl::InvalidArgumentError(absl::StrFormat(
        "policy: sizes %d, %d, %d; each must be 1 to %d", weights.observation_size(),
        weights.action_size(), sizes.key(), kPolicySizeMax));
  }
  if (sizes.hidden() > kPolicySizeMax) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "policy: %d hidden units; at most %d are allowed", sizes.hidden(), kPolicySizeMax));
  }
  if (sizes.neighbours() < 1 || sizes.neighbours() > kNeighboursMax) {
    return absl::InvalidArgumentError(absl::StrFormat("policy: %d neighbours; 1 to %d are allowed",
                                                      sizes.neighbours(), kNeighboursMax));
  }
  const bool inverse = sizes.kernel() == v1::LOOKUP_KERNEL_INVERSE;
  if (!inverse && sizes.kernel() != v1::LOOKUP_KERNEL_MEAN) {
    return absl::InvalidArgumentError(
        absl::StrFormat("policy: lookup kernel %d is not known", sizes.kernel()));
  }
  if (inverse && !(sizes.delta() > 0 && std::isfinite(sizes.delta())))
    return absl::InvalidArgumentError("policy: delta must be a positive number");
  if (!(sizes.epsilon() >= 0 && sizes.epsilon() <= 1))
    return absl::InvalidArgumentError("policy: epsilon must lie between 0 and 1");
  return absl::OkStatus();
}

// Reads consecutive pieces of the bytes.
class Bytes {
 public:
  explicit Bytes(const std::string& bytes) : next_(bytes.data()), left_(bytes.size()) {}

  // Returns false if fewer bytes are left.
  template <typename Number>
  bool Take(uint64_t count, Number* numbers) {
    if (!Has(count)) return false;
    std::memcpy(numbers, next_, count * sizeof(Number));
    Skip(count);
    return true;
  }
  // The same into a vector, which is resized only if the bytes suffice.
  bool Take(uint64_t count, std::vector<float>* numbers) {
    if (!Has(count)) return false;
    numbers->resize(count);
    return Take(count, numbers->data());
  }
  // `count` counts numbers of four bytes.
  bool Has(uint64_t count) const { return count <= left_ / 4; }
  bool done() const { return left_ == 0; }

 private:
  void Skip(uint64_t count) {
    next_ += 4 * count;
    left_ -= 4 * count;
  }
  const char* next_;
  uint64_t left_;
};

bool IsFinite(const std::vector<float>& numbers) {
  for (const float x : numbers) {
    if (!std::isfinite(x)) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PolicyNetwork>> MakeEpisodicNetwork(const v1::PolicyWeights& weights,
                                                                   PolicyOutput* output) {
  MENTOR_RETURN_IF_ERROR(CheckSizes(weights));
  const v1::EpisodicSizes& sizes = weights.episodic();
  const KeyNetwork network{
      .observation = weights.observation_size(), .hidden = sizes.hidden(), .key = sizes.key()};
  const auto misfit = [&](const std::string& what) {
    return absl::InvalidArgumentError(
        absl::StrFormat("policy: weights have %d bytes, %s", weights.weights().size(), what));
  };
  Bytes bytes(weights.weights());
  std::vector<float> encoder;
  if (!bytes.Take(static_cast<uint64_t>(network.num_weights()), &encoder))
    return misfit(absl::StrFormat("its encoder needs %d", 4 * network.num_weights()));
  bool finite = IsFinite(encoder);
  std::vector<Table> tables;
  for (uint32_t action = 0; action < weights.action_size(); ++action) {
    Table& table = tables.emplace_back();
    int32_t rows = 0;
    if (!bytes.Take(1, &rows)) return misfit(absl::StrFormat("action %d has no table", action));
    // Checks keys and values together. No overflow, since neither factor has more than 31 bits.
    if (rows < 0 || !bytes.Has(uint64_t{static_cast<uint32_t>(rows)} * (sizes.key() + 1)))
      return misfit(absl::StrFormat("the table of action %d has %d rows", action, rows));
    bytes.Take(uint64_t{static_cast<uint32_t>(rows)} * sizes.key(), &table.keys);
    bytes.Take(static_cast<uint32_t>(rows), &table.values);
    finite = finite && IsFinite(table.keys) && IsFinite(table.values);
  }
  if (!bytes.done()) return misfit("more than encoder and tables");
  if (!finite) return absl::InvalidArgumentError("policy: a weight is not finite");
  output->mean.resize(weights.action_size());
  output->log_std.resize(0);
  output->std.resize(0);
  output->epsilon = sizes.epsilon();
  return std::make_unique<Episodic>(network, sizes, std::move(encoder), std::move(tables));
}

}  // namespace mentor::actor
