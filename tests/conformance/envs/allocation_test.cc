// A step allocates nothing: allocations cost time, and threads meet in the allocator.
#include <cstdlib>
#include <new>

#include "tests/bundles.h"
#include "tests/conformance/envs/wrapper_variants.h"

namespace {
thread_local bool counting = false;
thread_local size_t allocations = 0;

void* Allocate(size_t size, size_t alignment) {
  if (counting) ++allocations;
  void* memory = alignment > alignof(std::max_align_t)
                     ? std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment)
                     : std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
}  // namespace

void* operator new(size_t size) {
  return Allocate(size, 0);
}
void* operator new[](size_t size) {
  return Allocate(size, 0);
}
void* operator new(size_t size, std::align_val_t alignment) {
  return Allocate(size, static_cast<size_t>(alignment));
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace mentor::envs::testing {
namespace {

TEST_CASE("environments: a step allocates nothing", "[conformance]") {
  constexpr size_t kSteps = 50;
  std::vector<Variant> variants = AllVariants();
  for (const Variant& variant : WrapperVariants()) variants.push_back(variant);
  const auto bundle = mentor::testing::BundleFolder::Cart();
  variants.push_back(
      {FindEnvironment("mjcf"), mentor::testing::Options({{"bundle", bundle.Offer()}})});
  for (const Variant& variant : variants) {
    INFO(variant.Name());
    const auto environment = variant.Make();
    const auto actions = CheckActions(environment->info(), 0);
    std::vector<double> observation(environment->info().observation_size);
    REQUIRE(environment->SetTask(variant.Task(0)).ok());
    REQUIRE(environment->Reset(CheckStream(0), 0, observation).ok());
    allocations = 0;
    for (size_t t = 0; t < std::min(kSteps, actions.size()); ++t) {
      counting = true;
      const absl::StatusOr<StepOutcome> outcome = environment->Step(actions[t], observation);
      counting = false;
      REQUIRE(outcome.ok());
      if (outcome->terminated || outcome->truncated) break;
    }
    CHECK(allocations == 0);
    // The counter works.
    counting = true;
    (void)environment->SaveState();
    counting = false;
    CHECK(allocations > 0);
  }
}

}  // namespace
}  // namespace mentor::envs::testing
