// Automatic domain randomisation (ADR; OpenAI 2019; docs/algorithms/curricula.md#adr). Ranges begin
// as points. Lifetimes at an end of a range test it: success widens the range, failure narrows it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/rng.h"
#include "meta_learner/curricula/curriculum.h"

namespace mentor::meta_learner {

// Pairs hold both ends of a range: 0 low, 1 high.
struct AdrParameter {
  std::string name = {};  // "mass": the wrapper's mass_low and mass_high.
  int place = 0;          // Without a wrapper: index of the task parameter.
  double nominal = 0;
  std::array<double, 2> limits = {};
  std::array<double, 2> deltas = {};  // Step by which an end moves.
};

struct AdrConfig {
  uint64_t seed = 1;
  bool pairs = false;
  bool of_wrapper = true;  // Else task parameters.
  bool by_success = true;  // Else by the shaped reward.
  double boundary = 0.5;   // Probability that a lifetime is at an end.
  int64_t buffer = 10;     // Lifetimes at an end that decide its move.
  double threshold_low = 0.3, threshold_high = 0.8;
  double step = 0.05;  // A move of an end, as a share of the way from nominal to limit.
  bool shrink = true;
  std::vector<AdrParameter> parameters = {};
};

class Adr final : public Curriculum {
 public:
  explicit Adr(AdrConfig config);

  void ChangeTask(uint32_t generation, uint32_t lifetime, v1::EnvironmentTask* task) const override;
  absl::StatusOr<CurriculumReport> Observe(uint32_t generation,
                                           std::span<const Achievement> lifetimes) override;
  methods::TensorMap Save() const override;
  absl::Status Load(const methods::TensorMap& state) override;

  // Records the performance of a lifetime at an end of a range. Returns true if the end moved.
  bool Tell(size_t parameter, size_t side, double performance);

  struct Range {
    std::array<double, 2> ends;
    std::array<std::vector<double>, 2> buffers;  // Fewer than config.buffer numbers each.
  };
  const std::vector<Range>& ranges() const { return ranges_; }

 private:
  struct End {
    size_t parameter, side;
  };
  // Random numbers of a generation, by Number of the lifetime.
  RandomStream Random(uint32_t generation) const;
  uint32_t Number(uint32_t lifetime) const { return lifetime - (config_.pairs ? lifetime % 2 : 0); }
  // Returns the end at which a lifetime is; nullopt if it is at none.
  std::optional<End> EndOf(uint32_t generation, uint32_t lifetime) const;

  const AdrConfig config_;
  std::vector<Range> ranges_;  // By index in config_.parameters.
};

}  // namespace mentor::meta_learner
