#include "meta_learner/rules/poet.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/rng.h"
#include "meta_learner/rules/evolution_strategies.h"

namespace mentor::meta_learner {

using learner::TensorMap;
using torch::Tensor;

namespace {

constexpr size_t kRecent = 5;

Tensor Doubles(const Tensor& x) {
  return x.to(torch::kFloat64).contiguous();
}

bool Within(double score, double low, double high) {
  return score >= low && score <= high;
}

}  // namespace

Transfers ChooseTransfers(const Tensor& own, const std::vector<std::vector<double>>& recent,
                          const Tensor& direct, const Tensor& proposal) {
  const int64_t n = own.numel();
  const Tensor scores = Doubles(own);
  const double* of = scores.const_data_ptr<double>();
  Transfers transfers{.source = std::vector<int64_t>(static_cast<size_t>(n), -1),
                      .is_proposal = std::vector<bool>(static_cast<size_t>(n), false)};
  for (int64_t m = 0; m < n; ++m) {
    double best = of[m];
    for (const double score : recent[static_cast<size_t>(m)]) best = std::max(best, score);
    for (const Tensor& candidates : {direct, proposal}) {
      if (!candidates.defined()) continue;
      const Tensor row = Doubles(candidates[m]);
      for (int64_t j = 0; j < n; ++j) {
        const double score = row.const_data_ptr<double>()[j];
        if (j == m || !(score > best)) continue;
        best = score;
        transfers.source[static_cast<size_t>(m)] = j;
        transfers.is_proposal[static_cast<size_t>(m)] = candidates.is_same(proposal);
      }
    }
  }
  return transfers;
}

Tensor Novelty(const Tensor& children, const Tensor& archive, int64_t neighbours) {
  const int64_t count = std::min(neighbours, archive.size(0));
  const Tensor distances =
      (Doubles(children).unsqueeze(1) - Doubles(archive).unsqueeze(0)).square().sum(2).sqrt();
  return std::get<0>(distances.sort(/*dim=*/1)).narrow(1, 0, count).mean(1);
}

std::vector<int64_t> PassedChildren(const Tensor& children, const Tensor& active,
                                    const Tensor& scores_of_parent, double mc_low, double mc_high) {
  std::vector<int64_t> passed;
  for (int64_t c = 0; c < children.size(0); ++c) {
    const bool known = (active == children[c]).all(1).any().item<bool>();
    if (!known && Within(scores_of_parent[c].item<double>(), mc_low, mc_high)) passed.push_back(c);
  }
  return passed;
}

std::vector<int64_t> ByNovelty(const std::vector<int64_t>& passed, const Tensor& novelty) {
  const Tensor values = Doubles(novelty);
  const double* of = values.const_data_ptr<double>();
  std::vector<int64_t> order = passed;
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return of[a] > of[b]; });
  return order;
}

std::vector<int64_t> Admitted(const std::vector<int64_t>& order, const Tensor& best_scores,
                              double mc_low, double mc_high, int64_t admit) {
  std::vector<int64_t> admitted;
  for (const int64_t child : order) {
    if (static_cast<int64_t>(admitted.size()) == admit) break;
    if (Within(best_scores[child].item<double>(), mc_low, mc_high)) admitted.push_back(child);
  }
  return admitted;
}

Poet::Poet(PoetConfig config, uint64_t seed, const Tensor& environment, const Tensor& agent)
    : config_(std::move(config)), seed_(seed), lineage_(kEventColumns + environment.numel()) {
  environments_ = Doubles(environment).unsqueeze(0).clone();
  theta_ = agent.to(torch::kFloat32).unsqueeze(0).clone();
  adam_m_ = torch::zeros_like(theta_);
  adam_v_ = torch::zeros_like(theta_);
  adam_steps_ = torch::zeros({1}, torch::kInt64);
  ids_ = torch::zeros({1}, torch::kInt64);
  next_id_ = 1;
  archive_ = environments_.clone();
  recent_.resize(1);
  Note(Event::kBorn, 0, -1, environments_[0]);
  Enter(Phase::kEvolve);
}

double Poet::sigma() const {
  return std::max(config_.least_sigma, config_.sigma * std::pow(config_.sigma_decay, update_));
}

bool Poet::transfers_now() const {
  // Right behind a reproduction where both are due: who has just come is offered agents.
  return num_active() > 1 && update_ % config_.transfer_every == 0;
}

bool Poet::reproduces_now() const {
  return (update_ + 1) % config_.mutate_every == 0;
}

Tensor Poet::Rows(const std::vector<std::pair<int64_t, int64_t>>& pairs) const {
  std::vector<int64_t> sources;
  for (const auto& [target, source] : pairs) sources.push_back(source);
  return theta_.index_select(0, torch::tensor(sources));
}

void Poet::Enter(Phase phase) {
  phase_ = phase;
  switch (phase) {
    case Phase::kEvolve:
    case Phase::kOwn:
    case Phase::kDirect:
    case Phase::kParents:
    case Phase::kChildren:
    case Phase::kDone:
      rows_ = theta_;
      break;
    case Phase::kPropose:
    case Phase::kChildPropose:
      rows_ = Rows(pairs_);
      break;
    case Phase::kProposals:
    case Phase::kChildProposals:
      break;  // The agents after their steps.
  }
  round_ = MakeRound();
}

Poet::Round Poet::MakeRound() const {
  Round round{.trials = {}, .perturbed = false, .first_number = next_number_};
  const auto add = [&](int64_t agent, const Tensor& environment, int64_t place) {
    round.trials.push_back({.agent = agent, .environment = environment, .place = place});
  };
  const auto add_pairs = [&](const Tensor& environments, bool own_rows, int64_t times) {
    for (size_t i = 0; i < pairs_.size(); ++i) {
      const auto [target, source] = pairs_[i];
      for (int64_t k = 0; k < times; ++k)
        add(own_rows ? static_cast<int64_t>(i) : source, environments[target], target);
    }
  };
  switch (phase_) {
    case Phase::kEvolve:
      round.perturbed = true;
      for (int64_t m = 0; m < num_active(); ++m) {
        for (int64_t k = 0; k < config_.population; ++k) add(m, environments_[m], m);
      }
      break;
    case Phase::kOwn:
      for (int64_t m = 0; m < num_active(); ++m) add(m, environments_[m], m);
      break;
    case Phase::kDirect:
      add_pairs(environments_, /*own_rows=*/false, 1);
      break;
    case Phase::kPropose:
      round.perturbed = true;
      add_pairs(environments_, /*own_rows=*/true, config_.population);
      break;
    case Phase::kProposals:
      add_pairs(environments_, /*own_rows=*/true, 1);
      break;
    case Phase::kParents:
      for (int64_t c = 0; c < children_.size(0); ++c)
        add(parents_[static_cast<size_t>(c)], children_[c], c);
      break;
    case Phase::kChildren:
      add_pairs(children_, /*own_rows=*/false, 1);
      break;
    case Phase::kChildPropose:
      round.perturbed = true;
      add_pairs(children_, /*own_rows=*/true, config_.population);
      break;
    case Phase::kChildProposals:
      add_pairs(children_, /*own_rows=*/true, 1);
      break;
    case Phase::kDone:
      break;
  }
  return round;
}

Tensor Poet::Stepped(const Tensor& agents, const Tensor& fitness, Tensor* m, Tensor* v,
                     Tensor* steps) const {
  Tensor stepped = agents.clone();
  EvolutionConfig config{.sigma = sigma(), .weight_decay = 0, .adam = config_.adam};
  config.adam.learning_rate = std::max(
      config_.least_rate, config_.adam.learning_rate * std::pow(config_.rate_decay, update_));
  const std::vector<std::string> alone(static_cast<size_t>(config_.population));
  for (int64_t b = 0; b < agents.size(0); ++b) {
    const Tensor ranks =
        CentredRanks(fitness.narrow(0, b * config_.population, config_.population), alone);
    const Tensor gradient = EvolutionGradient(
        ranks, config.sigma, seed_, next_number_ + static_cast<uint32_t>(b * config_.population),
        agents.size(1));
    Tensor theta = stepped[b];
    if (config_.step_length) {
      const double norm = gradient.norm().item<double>();
      if (norm > 0) theta.add_((*config_.step_length / norm * gradient).to(torch::kFloat32));
      continue;
    }
    AdamState adam{(*m)[b].clone(), (*v)[b].clone(), (*steps)[b].item<int64_t>()};
    EvolutionStep(config, gradient, theta, &adam);
    (*m)[b].copy_(adam.m);
    (*v)[b].copy_(adam.v);
    (*steps)[b].fill_(adam.step);
  }
  return stepped;
}

void Poet::Receive(const Tensor& received) {
  const Tensor scores = Doubles(received);
  const auto trials = static_cast<int64_t>(Plan().trials.size());
  MENTOR_CHECK(trials > 0 && scores.numel() == trials);
  // Pairs of agents that take a step in environments that are not theirs.
  const auto proposals = [&] {
    Tensor m = torch::zeros_like(rows_), v = torch::zeros_like(rows_),
           steps = torch::zeros({rows_.size(0)}, torch::kInt64);
    return Stepped(rows_, scores, &m, &v, &steps);
  };
  Phase next = Phase::kDone;
  switch (phase_) {
    case Phase::kEvolve:
      theta_ = Stepped(theta_, scores, &adam_m_, &adam_v_, &adam_steps_);
      next = Phase::kOwn;
      break;
    case Phase::kOwn:
      own_ = scores.clone();
      if (transfers_now()) {
        pairs_.clear();
        for (int64_t m = 0; m < num_active(); ++m) {
          for (int64_t j = 0; j < num_active(); ++j) {
            if (j != m) pairs_.emplace_back(m, j);
          }
        }
        next = config_.direct ? Phase::kDirect : Phase::kPropose;
        direct_ = Tensor();
      }
      break;
    case Phase::kDirect:
      direct_ = scores.clone();
      next = Phase::kPropose;
      break;
    case Phase::kPropose:
      rows_ = proposals();
      next = Phase::kProposals;
      break;
    case Phase::kProposals:
      TakeTransfers(scores);
      break;
    case Phase::kParents:
      passed_ = PassedChildren(children_, environments_, scores, config_.mc_low, config_.mc_high);
      pairs_.clear();
      for (const int64_t child : passed_) {
        for (int64_t j = 0; j < num_active(); ++j) pairs_.emplace_back(child, j);
      }
      if (!passed_.empty()) next = Phase::kChildren;
      break;
    case Phase::kChildren:
      direct_ = scores.clone();
      next = Phase::kChildPropose;
      break;
    case Phase::kChildPropose:
      rows_ = proposals();
      next = Phase::kChildProposals;
      break;
    case Phase::kChildProposals:
      Admit(scores);
      break;
    case Phase::kDone:
      break;
  }
  const bool before_children = phase_ == Phase::kOwn || phase_ == Phase::kProposals;
  // Pairs of signs begin at even numbers.
  next_number_ += static_cast<uint32_t>(trials + trials % 2);
  if (next == Phase::kDone && before_children) {
    KeepScores();
    if (reproduces_now() && MakeChildren()) next = Phase::kParents;
  }
  Enter(next);
}

void Poet::Begin() {
  MENTOR_CHECK(phase_ == Phase::kDone);
  ++update_;
  transfers_ = admitted_ = 0;
  novelty_.reset();
  Enter(Phase::kEvolve);
}

void Poet::KeepScores() {
  for (int64_t m = 0; m < num_active(); ++m) {
    std::vector<double>& recent = recent_[static_cast<size_t>(m)];
    recent.push_back(own_[m].item<double>());
    if (recent.size() > kRecent) recent.erase(recent.begin());
  }
}

void Poet::TakeTransfers(const Tensor& proposal_scores) {
  const int64_t n = num_active();
  const double none = -std::numeric_limits<double>::infinity();
  Tensor proposal = torch::full({n, n}, none, torch::kFloat64),
         direct = config_.direct ? torch::full({n, n}, none, torch::kFloat64) : Tensor();
  for (size_t i = 0; i < pairs_.size(); ++i) {
    const auto [m, j] = pairs_[i];
    const auto place = static_cast<int64_t>(i);
    proposal[m][j] = proposal_scores[place];
    if (config_.direct) direct[m][j] = direct_[place];
  }
  const Transfers chosen = ChooseTransfers(own_, recent_, direct, proposal);
  const Tensor before = theta_.clone();
  for (size_t i = 0; i < pairs_.size(); ++i) {
    const auto [m, j] = pairs_[i];
    if (chosen.source[static_cast<size_t>(m)] != j) continue;
    const bool is_proposal = chosen.is_proposal[static_cast<size_t>(m)];
    theta_[m].copy_(is_proposal ? rows_[static_cast<int64_t>(i)] : before[j]);
    adam_m_[m].zero_();
    adam_v_[m].zero_();
    adam_steps_[m].zero_();
    ++transfers_;
    Note(is_proposal ? Event::kProposal : Event::kDirect, ids_[m].item<int64_t>(),
         ids_[j].item<int64_t>(), environments_[m]);
  }
}

bool Poet::MakeChildren() {
  std::vector<int64_t> eligible;
  for (int64_t m = 0; m < num_active(); ++m) {
    if (own_[m].item<double>() >= config_.reproduce) eligible.push_back(m);
  }
  if (eligible.empty()) return false;
  const RandomStream chance{.seed = seed_, .purpose = Purpose::kPopulation, .lifetime = update_};
  const int64_t k = environments_.size(1);
  children_ = torch::empty({config_.children, k}, torch::kFloat64);
  parents_.clear();
  for (int64_t c = 0; c < config_.children; ++c) {
    const auto step = static_cast<uint32_t>(c);
    parents_.push_back(eligible[chance.Below(eligible.size(), step, /*draw=*/0)]);
    Tensor moves = torch::empty({k}, torch::kFloat64);
    for (int64_t i = 0; i < k; ++i)
      moves[i] = 2 * chance.Uniform(step, static_cast<uint32_t>(1 + i)) - 1;
    const Tensor moved =
        environments_[parents_.back()] + config_.mutation * moves * (config_.high - config_.low);
    children_[c] = torch::minimum(torch::maximum(moved, config_.low), config_.high);
  }
  return true;
}

void Poet::Admit(const Tensor& proposal_scores) {
  const double none = -std::numeric_limits<double>::infinity();
  Tensor best = torch::full({children_.size(0)}, none, torch::kFloat64);
  Tensor agents = torch::zeros({children_.size(0), theta_.size(1)});
  std::vector<int64_t> sources(static_cast<size_t>(children_.size(0)), -1);
  const auto consider = [&](const Tensor& scores, bool is_proposal) {
    for (size_t i = 0; i < pairs_.size(); ++i) {
      const auto [child, j] = pairs_[i];
      const double score = scores[static_cast<int64_t>(i)].item<double>();
      if (!(score > best[child].item<double>())) continue;
      best[child] = score;
      agents[child].copy_(is_proposal ? rows_[static_cast<int64_t>(i)] : theta_[j]);
      sources[static_cast<size_t>(child)] = ids_[j].item<int64_t>();
    }
  };
  consider(direct_, /*is_proposal=*/false);
  consider(proposal_scores, /*is_proposal=*/true);
  const Tensor novelty = Novelty(children_, archive_, config_.neighbours);
  const std::vector<int64_t> admitted = Admitted(config_.order(passed_, novelty), best,
                                                 config_.mc_low, config_.mc_high, config_.admit);
  double sum = 0;
  for (const int64_t child : admitted) {
    const Tensor environment = children_[child].unsqueeze(0), agent = agents[child].unsqueeze(0);
    environments_ = torch::cat({environments_, environment});
    archive_ = torch::cat({archive_, environment});
    theta_ = torch::cat({theta_, agent});
    adam_m_ = torch::cat({adam_m_, torch::zeros_like(agent)});
    adam_v_ = torch::cat({adam_v_, torch::zeros_like(agent)});
    adam_steps_ = torch::cat({adam_steps_, torch::zeros({1}, torch::kInt64)});
    ids_ = torch::cat({ids_, torch::full({1}, next_id_, torch::kInt64)});
    recent_.emplace_back();
    Note(Event::kBorn, next_id_, sources[static_cast<size_t>(child)], children_[child]);
    ++next_id_;
    sum += novelty[child].item<double>();
  }
  admitted_ = static_cast<int64_t>(admitted.size());
  if (admitted_ > 0) novelty_ = sum / static_cast<double>(admitted_);
  const int64_t leave = std::max<int64_t>(0, num_active() - config_.max_active);
  for (int64_t m = 0; m < leave; ++m)
    Note(Event::kDied, ids_[m].item<int64_t>(), -1, environments_[m]);
  for (Tensor* x : {&environments_, &theta_, &adam_m_, &adam_v_, &adam_steps_, &ids_})
    *x = x->narrow(0, leave, x->size(0) - leave).clone();
  recent_.erase(recent_.begin(), recent_.begin() + leave);
}

void Poet::Note(Event event, int64_t id, int64_t other, const Tensor& environment) {
  std::vector<double> row = {static_cast<double>(update_), static_cast<double>(event),
                             static_cast<double>(id), static_cast<double>(other)};
  const double* numbers = environment.const_data_ptr<double>();
  row.insert(row.end(), numbers, numbers + environment.numel());
  lineage_.Append(row);
}

std::string Poet::Table() const {
  constexpr const char* kEvents[] = {"born", "died", "direct", "proposal"};
  std::string text = "update,event,environment,source";
  for (int64_t i = 0; i < environments_.size(1); ++i) absl::StrAppendFormat(&text, ",x%d", i);
  text += "\n";
  const Tensor lineage = lineage_.rows();
  const auto rows = lineage.accessor<double, 2>();
  for (int64_t i = 0; i < rows.size(0); ++i) {
    absl::StrAppendFormat(&text, "%.0f,%s,%.0f,", rows[i][0],
                          kEvents[static_cast<size_t>(rows[i][1])], rows[i][2]);
    if (rows[i][3] >= 0) absl::StrAppendFormat(&text, "%.0f", rows[i][3]);
    for (int64_t j = kEventColumns; j < rows.size(1); ++j)
      absl::StrAppendFormat(&text, ",%.9g", rows[i][j]);
    text += "\n";
  }
  return text;
}

TensorMap Poet::Save() const {
  MENTOR_CHECK(phase_ == Phase::kEvolve);
  Tensor recent = torch::full({num_active(), static_cast<int64_t>(kRecent)}, 0, torch::kFloat64),
         counts = torch::zeros({num_active()}, torch::kInt64);
  for (int64_t m = 0; m < num_active(); ++m) {
    const std::vector<double>& own = recent_[static_cast<size_t>(m)];
    counts[m] = static_cast<int64_t>(own.size());
    for (size_t i = 0; i < own.size(); ++i) recent[m][static_cast<int64_t>(i)] = own[i];
  }
  return {{"environments", environments_.clone()},
          {"agents", theta_.clone()},
          {"adam.m", adam_m_.clone()},
          {"adam.v", adam_v_.clone()},
          {"adam.steps", adam_steps_.clone()},
          {"ids", ids_.clone()},
          {"archive", archive_.clone()},
          {"recent", recent},
          {"recent_counts", counts},
          {"lineage", lineage_.rows()},
          {"counters",
           torch::tensor({int64_t{update_}, int64_t{next_number_}, next_id_}, torch::kInt64)}};
}

absl::Status Poet::Load(const TensorMap& state) {
  const auto found = state.find("environments");
  const int64_t n = found == state.end() || found->second.dim() != 2 ? 0 : found->second.size(0);
  const int64_t k = environments_.size(1), p = theta_.size(1);
  const auto archived = state.find("archive");
  const int64_t a = archived == state.end() || archived->second.dim() != 2 ||
                            archived->second.size(0) > kArchiveMax
                        ? 0
                        : archived->second.size(0);
  if (n < 1 || n > config_.max_active) {
    return absl::DataLossError(
        "the checkpoint's tensor 'environments' of the rule is missing or has another size");
  }
  const auto read = [&](const char* name, std::vector<int64_t> shape, torch::Dtype dtype) {
    return learner::ReadTensor(state, name, shape, dtype, "the rule");
  };
  MENTOR_ASSIGN_OR_RETURN(const Tensor environments, read("environments", {n, k}, torch::kFloat64));
  MENTOR_ASSIGN_OR_RETURN(const Tensor theta, read("agents", {n, p}, torch::kFloat32));
  MENTOR_ASSIGN_OR_RETURN(const Tensor m, read("adam.m", {n, p}, torch::kFloat32));
  MENTOR_ASSIGN_OR_RETURN(const Tensor v, read("adam.v", {n, p}, torch::kFloat32));
  MENTOR_ASSIGN_OR_RETURN(const Tensor steps, read("adam.steps", {n}, torch::kInt64));
  MENTOR_ASSIGN_OR_RETURN(const Tensor ids, read("ids", {n}, torch::kInt64));
  MENTOR_ASSIGN_OR_RETURN(const Tensor archive, read("archive", {a, k}, torch::kFloat64));
  MENTOR_ASSIGN_OR_RETURN(const Tensor recent,
                          read("recent", {n, static_cast<int64_t>(kRecent)}, torch::kFloat64));
  MENTOR_ASSIGN_OR_RETURN(const Tensor counts, read("recent_counts", {n}, torch::kInt64));
  MENTOR_ASSIGN_OR_RETURN(Lineage lineage, Lineage::Read(state, "lineage", kEventColumns + k));
  const Tensor events = lineage.rows().select(1, 1);
  MENTOR_ASSIGN_OR_RETURN(const Tensor counters, read("counters", {3}, torch::kInt64));
  const bool legal = archive.size(0) >= 1 && counts.min().item<int64_t>() >= 0 &&
                     counts.max().item<int64_t>() <= static_cast<int64_t>(kRecent) &&
                     counters.min().item<int64_t>() >= 0 &&
                     counters.narrow(0, 0, 2).max().item<int64_t>() <= UINT32_MAX &&
                     events.ge(0).logical_and(events.le(3)).all().item<bool>();
  if (!legal) return absl::DataLossError("the checkpoint's tables of the rule are damaged");
  environments_ = environments;
  theta_ = theta;
  adam_m_ = m;
  adam_v_ = v;
  adam_steps_ = steps;
  ids_ = ids;
  archive_ = archive;
  lineage_ = std::move(lineage);
  recent_.assign(static_cast<size_t>(n), {});
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < counts[i].item<int64_t>(); ++j)
      recent_[static_cast<size_t>(i)].push_back(recent[i][j].item<double>());
  }
  update_ = static_cast<uint32_t>(counters[0].item<int64_t>());
  next_number_ = static_cast<uint32_t>(counters[1].item<int64_t>());
  next_id_ = counters[2].item<int64_t>();
  own_ = Tensor();
  transfers_ = admitted_ = 0;
  novelty_.reset();
  Enter(Phase::kEvolve);
  return absl::OkStatus();
}

int64_t Poet::ArchiveAfter(const PoetConfig& config, int64_t updates) {
  return 1 + updates / config.mutate_every * std::min(config.admit, config.children);
}

int64_t Poet::RowsMax(const PoetConfig& config) {
  const int64_t n = config.max_active;
  return std::max({n, n * (n - 1), n * config.children});
}

int64_t Poet::TrialsMax(const PoetConfig& config) {
  return config.population * RowsMax(config);
}

}  // namespace mentor::meta_learner
