// Values of actions from tables of episodic control (docs/performance.md, `lookup`). Lookups a
// second by the rows of the table and the numbers of the key. Beside them the distances to all rows
// alone, which every exact search of neighbours needs.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/episodic_lookup.h"
#include "tests/bench/bench.h"
#include "tests/bench/workload.h"

namespace mentor::bench {
namespace {

// The neighbours of maze_mfec. The first key is a position; the others are the defaults of NEC and
// MFEC.
constexpr uint32_t kNeighbours = 11;
constexpr int64_t kKeySizes[] = {2, 16, 64};
constexpr int64_t kTableRows[] = {1'000, 10'000, 100'000};
constexpr int64_t kQueries = 64;
constexpr int64_t kRowsLookedAt = 10'000'000;  // The actions of a measurement.

std::span<const float> Floats(const torch::Tensor& x) {
  return {x.const_data_ptr<float>(), static_cast<size_t>(x.numel())};
}

// Calls value(query) until the time is long enough to measure; returns calls a second of CPU time.
template <typename Value>
double CallsPerSecond(std::span<const float> queries, int64_t rows, const Value& value) {
  const int64_t calls = std::max(kQueries, kRowsLookedAt / rows);
  const size_t key = queries.size() / kQueries;
  double sum = 0;
  const auto call = [&](int64_t i) {
    sum += value(queries.subspan(static_cast<size_t>(i % kQueries) * key, key));
  };
  for (int64_t i = 0; i < kQueries; ++i) call(i);  // Warm-up.
  const double seconds = SecondsOf({}, [&] {
    for (int64_t i = 0; i < calls; ++i) call(i);
  });
  MENTOR_CHECK(std::isfinite(sum));
  return static_cast<double>(calls) / seconds;
}

absl::StatusOr<Figures> RunLookup(const Settings&) {
  Figures figures;
  v1::EpisodicSizes sizes;
  sizes.set_neighbours(kNeighbours);
  sizes.set_kernel(v1::LOOKUP_KERNEL_MEAN);
  Lookup<float> lookup(sizes);
  for (const int64_t key : kKeySizes) {
    const torch::Tensor queries = NormalTensor({kQueries, key}, 2);
    for (const int64_t rows : kTableRows) {
      const torch::Tensor keys = NormalTensor({rows, key}, 0), values = NormalTensor({rows}, 1);
      const StoredRows<float> table{.keys = Floats(keys), .values = Floats(values)};
      const double lookups =
          CallsPerSecond(Floats(queries), rows,
                         [&](std::span<const float> query) { return lookup.Value(table, query); });
      const double scans = CallsPerSecond(Floats(queries), rows, [&](std::span<const float> query) {
        float least = INFINITY;
        for (size_t row = 0; row < table.values.size(); ++row) {
          least = std::min(least, episodic::SquaredDistance(table.keys.data() + row * query.size(),
                                                            query.data(), query.size()));
        }
        return static_cast<double>(least);
      });
      const std::string suffix = absl::StrFormat("_key%02d_rows%06d", key, rows);
      figures["lookups_per_second" + suffix] = {lookups, "1/s"};
      figures["share_of_distances" + suffix] = {lookups / scans, "ratio"};
    }
  }
  return figures;
}

const RegisterBench register_lookup(
    {.name = "lookup",
     .summary = "Lookups of action values in tables of episodic control, by their size",
     .run = RunLookup});

}  // namespace
}  // namespace mentor::bench
