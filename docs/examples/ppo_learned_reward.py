#!/usr/bin/env python3
"""Proximal policy optimisation in one file, in the manner of CleanRL, with a learned reward. One
line puts the signal into the script, and one tells it the density of each action. Prints the
success rate of each iteration, mean over agents.

Usage: ppo_learned_reward.py --signal DIR [--reward learned|task] [--agents N] [--environments N]
  --signal DIR        what `mentor export` wrote, of a run on point_reach
  --reward NAME       learned: the signal (default); task: the environment's own reward
  --agents N          each with a goal of its own; default: 8
  --environments N    of each agent, side by side; default: 1, as agents had in Mentor
  --iterations N      of an agent's life; default: as in Mentor

Needs pip install './python[signal]' torch.
"""

import argparse

import gymnasium
import numpy as np
import torch
from torch import nn
from torch.distributions import Normal

import mentor_signal
from point_reach import PointReach


class Agent(nn.Module):
    def __init__(self, facts, observation, action):
        super().__init__()

        def network(outputs):
            units = facts["hidden_units"]
            return nn.Sequential(
                *(nn.Linear(observation, units), nn.Tanh()),
                *(nn.Linear(units, units), nn.Tanh()),
                nn.Linear(units, outputs),
            )

        self.actor, self.critic = network(action), network(1)
        self.log_std = nn.Parameter(torch.full((action,), float(np.log(facts["initial_std"]))))

    def draw(self, observations, actions=None):
        """Returns actions, their log-density and entropy, and the value of the observations."""
        policy = Normal(self.actor(observations), self.log_std.exp())
        actions = policy.sample() if actions is None else actions
        log_probs, entropy = policy.log_prob(actions).sum(-1), policy.entropy().sum(-1)
        return actions, log_probs, entropy, self.critic(observations).squeeze(-1)


def advantages(facts, rewards, values, ends, last_value):
    """Generalised advantage estimates, [T, N]. ends: whether an episode ended with the step."""
    result, following = torch.zeros_like(rewards), torch.zeros_like(last_value)
    for t in reversed(range(len(rewards))):
        goes_on = 1 - ends[t]
        delta = rewards[t] + facts["gamma"] * goes_on * last_value - values[t]
        following = delta + facts["gamma"] * facts["gae_lambda"] * goes_on * following
        result[t], last_value = following, values[t]
    return result


def update(agent, optimizer, facts, steps, advantage):
    """PPO on the steps of an iteration: observations, actions, log-densities and values, each
    [T, N, ...]."""
    observations, actions, log_probs, values = (part.flatten(0, 1) for part in steps)
    advantage = advantage.flatten()
    returns = advantage + values
    for _ in range(facts["epochs"]):
        for rows in torch.randperm(len(advantage)).chunk(facts["minibatches"]):
            _, now, entropy, value = agent.draw(observations[rows], actions[rows])
            ratio, own = (now - log_probs[rows]).exp(), advantage[rows]
            if facts["normalize_advantage"]:
                own = (own - own.mean()) / (own.std() + 1e-8)
            bounded = ratio.clip(1 - facts["clip"], 1 + facts["clip"])
            loss = -torch.min(ratio * own, bounded * own).mean()
            loss = loss + facts["value_coef"] * (value - returns[rows]).square().mean()
            loss = loss - facts["entropy_coef"] * entropy.mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), facts["max_grad_norm"])
            optimizer.step()


def live(signal, learned, seed, environments, iterations):
    """Returns an agent's success rates by iteration. The seed chooses its goal, too."""
    torch.manual_seed(seed)
    facts, sizes = signal.facts["agent"], signal.sizes
    envs = gymnasium.vector.SyncVectorEnv(
        [lambda: PointReach(seed, episode_steps=sizes.episode_steps)] * environments,
        autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP,
    )
    if learned:
        envs = mentor_signal.LearnedReward(envs, signal)
    agent = Agent(facts, sizes.observation, sizes.action)
    optimizer = torch.optim.Adam(agent.parameters(), lr=facts["learning_rate"], eps=1e-5)
    observation, _ = envs.reset(seed=seed)
    rates = []
    for _ in range(iterations):
        rows, rewards, ends, successes = [], [], [], []
        for _ in range(sizes.steps_per_iteration):
            now = torch.as_tensor(observation, dtype=torch.float32)
            with torch.no_grad():
                action, log_prob, _, value = agent.draw(now)
            rows.append((now, action, log_prob, value))
            if learned:
                envs.drawn(log_prob)
            observation, reward, terminated, truncated, infos = envs.step(action.numpy())
            rewards.append(torch.as_tensor(reward, dtype=torch.float32))
            ends.append(terminated | truncated)
            # Episodes are of one length, so they end together.
            successes.append(infos.get("final_info", infos)["success"])
        with torch.no_grad():
            last_value = agent.draw(torch.as_tensor(observation, dtype=torch.float32))[3]
        steps = [torch.stack(part) for part in zip(*rows)]
        gone = torch.as_tensor(np.array(ends), dtype=torch.float32)
        estimate = advantages(facts, torch.stack(rewards), steps[3], gone, last_value)
        update(agent, optimizer, facts, steps, estimate)
        episodes = np.reshape(successes, (-1, sizes.episode_steps, environments))
        rates.append(float(episodes.any(1).mean()))
    envs.close()
    return rates


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--signal", required=True)
    parser.add_argument("--reward", choices=("learned", "task"), default="learned")
    parser.add_argument("--agents", type=int, default=8)
    parser.add_argument("--environments", type=int, default=1)
    parser.add_argument("--iterations", type=int)
    arguments = parser.parse_args()
    for name in ("agents", "environments", "iterations"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            parser.error(f"--{name}: give at least 1")
    torch.set_num_threads(1)
    learned = arguments.reward == "learned"
    try:
        signal = mentor_signal.load(arguments.signal, check=True)
        iterations = arguments.iterations or signal.facts["sizes"]["iterations"]
        lives = [
            live(signal, learned, seed, arguments.environments, iterations)
            for seed in range(arguments.agents)
        ]
    except mentor_signal.SignalError as error:
        parser.error(f"--signal: {error}")
    for iteration, rate in enumerate(np.mean(lives, 0)):
        print(f"after {iteration} updates: {rate:.2f} of the episodes succeed")


if __name__ == "__main__":
    main()
