// Automatic domain randomisation (OpenAI 2019; docs/algorithms/curricula.md#adr): ranges begin as
// points, lifetimes at their ends test them, and success widens what failure narrows.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/rng.h"
#include "meta_learner/curricula/curriculum.h"

namespace mentor::meta_learner {

// Pairs are of both ends: 0 low, 1 high.
struct AdrParameter {
  std::string name = {};  // "mass": of the wrapper's mass_low and mass_high. Or its place:
  int place = 0;          // of a task's number.
  double nominal = 0;
  std::array<double, 2> limits = {};
  std::array<double, 2> deltas = {};  // By which an end moves at once.
};

struct AdrConfig {
  uint64_t seed = 1;
  bool pairs = false;
  bool of_wrapper = true;  // Otherwise numbers of the tasks.
  bool by_success = true;  // Otherwise by the shaped reward.
  double boundary = 0.5;   // Share of lifetimes at an end of a range.
  int64_t buffer = 10;     // How many of them decide.
  double threshold_low = 0.3, threshold_high = 0.8;
  bool shrink = true;
  std::vector<AdrParameter> parameters = {};
};

class Adr final : public Curriculum {
 public:
  explicit Adr(AdrConfig config);

  void ChangeTask(uint32_t generation, uint32_t lifetime, v1::EnvironmentTask* task) const override;
  absl::StatusOr<CurriculumReport> Observe(uint32_t generation,
                                           std::span<const Achievement> lifetimes) override;
  learner::TensorMap Save() const override;
  absl::Status Load(const learner::TensorMap& state) override;

  // A lifetime at an end of a range performed so; whether the end moved.
  bool Tell(size_t parameter, size_t side, double performance);

  struct Range {
    std::array<double, 2> ends;
    std::array<std::vector<double>, 2> buffers;  // Fewer numbers than decide.
  };
  const std::vector<Range>& ranges() const { return ranges_; }

 private:
  struct End {
    size_t parameter, side;
  };
  // Its lifetimes by the number of their task.
  RandomStream Random(uint32_t generation) const;
  uint32_t Number(uint32_t lifetime) const { return lifetime - (config_.pairs ? lifetime % 2 : 0); }
  // Nothing for lifetimes that are not at one.
  std::optional<End> EndOf(uint32_t generation, uint32_t lifetime) const;

  const AdrConfig config_;
  std::vector<Range> ranges_;  // Of config_.parameters.
};

}  // namespace mentor::meta_learner
