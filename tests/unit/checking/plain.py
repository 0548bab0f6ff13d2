"""Rules as somebody would follow them by hand: one rule of one device, one reading after the other."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from tests.unit.expressions.plain import plainly
from watchkeeper.checking.breach import TELL_MS


def rule_for(rule, site, device):
    """The rule as it is for a device; None: it is not for it."""
    for scope, found in [*((each.scope, each.rule) for each in rule.overrides), (rule.scope, rule)]:
        patterns = (
            (site, scope.sites),
            (device, scope.devices),
            (site, rule.scope.sites),
            (device, rule.scope.devices),
        )
        if all(not them or any(fnmatchcase(name, one) for one in them) for name, them in patterns):
            return found
    return None


class PlainRule:
    """One rule of one device."""

    def __init__(self, rule):
        self.rule = rule
        self.broken_since = self.calm_since = self.open_since = self.said = None
        self.unsaid = 0
        self.kept, self.rest = [], None
        self.began, self.been_calm = [], True
        self.seen = []

    def read(self, ts, values, tags):
        """Answers what is said (edge, since, count), and whether the reading belongs to an episode."""
        found = self.sees(ts, values, tags)
        if found is None:
            return None, False
        fires, calm = found
        if self.rule.times:
            fires = self.counted(ts, fires, calm)
            calm = not fires
        return self.follow(ts, fires, calm)

    def sees(self, ts, values, tags):
        """Whether it fires, and whether it is calm; None: the reading says nothing."""
        rule = self.rule
        force = True if rule.only_while is None else plainly(rule.only_while.tree, values, tags)
        if not within_hours(rule, ts):
            force = False
        if rule.kind == "sequence":
            steps = [plainly(step.tree, values, tags) is True for step in rule.steps]
            if force is None or not any(name in values for name in rule.metrics):
                return None
            done = self.stepped(ts, [step and force for step in steps])
            return done, not done
        found = self.condition(ts, values, tags)
        if found is None or force is None:
            return None
        return found if force else (False, True)

    def condition(self, ts, values, tags):
        rule = self.rule
        if rule.kind == "when":
            fires = plainly(rule.when.tree, values, tags)
            if rule.clear is None:
                return None if fires is None else (fires, not fires)
            calm = plainly(rule.clear.tree, values, tags) is True and fires is not True
            return None if fires is None and not calm else (fires is True, calm)
        value = values.get(rule.metric)
        if value is None:
            return None
        if rule.kind == "equals":
            return value in rule.equals, value not in rule.equals
        if rule.kind in {"rising", "falling"}:
            value = self.change(ts, value)
            if value is None:
                return None
        if rule.kind == "flatline":
            value = self.rested(ts, value)
        fires = value < rule.fire_low or value > rule.fire_high
        return fires, rule.clear_low <= value <= rule.clear_high

    def change(self, ts, value):
        window, grain = self.rule.per_ms, self.rule.per_ms // 8
        if self.kept and ts // grain < self.kept[-1][0] // grain:
            return None
        if not self.kept or ts // grain > self.kept[-1][0] // grain:
            self.kept.append((ts, value))
        before = [(at, was) for at, was in self.kept if at <= ts - window]
        if not before or before[-1][0] < ts - 2 * window:
            return None
        at, was = before[-1]
        return (value - was) / (ts - at) * window

    def rested(self, ts, value):
        if self.rest is None or abs(value - self.rest[1]) > self.rule.tolerance:
            self.rest = (ts if self.rest is None else max(ts, self.rest[0]), value)
        return ts - self.rest[0]

    def counted(self, ts, fires, calm):
        if fires and self.been_calm:
            self.began.append(ts)
        if fires or calm:
            self.been_calm = not fires
        return sum(ts - at <= self.rule.within_ms for at in self.began[-self.rule.times :]) >= self.rule.times

    def stepped(self, ts, steps):
        """All ways through the steps so far, each as (when it began, the steps done)."""
        within = self.rule.within_ms
        on_the_way = [(began, done) for began, done in self.seen if done == len(steps) or ts - began <= within]
        further = [(began, done + 1) for began, done in on_the_way if done < len(steps) and steps[done]]
        self.seen = on_the_way + [way for way in further if way[1] < len(steps)]
        if steps[0]:
            self.seen.append((ts, 1))
        if any(done == len(steps) for _, done in further):
            self.seen.append((ts, len(steps)))
        return any(done == len(steps) and ts - at <= within for at, done in self.seen)

    def follow(self, ts, fires, calm):
        hold = self.rule.for_ms
        if self.open_since is None:
            self.broken_since = (ts if self.broken_since is None else self.broken_since) if fires else None
            if self.broken_since is None or ts - self.broken_since < hold:
                return None, False
            self.open_since, self.said, self.calm_since, self.unsaid = ts, ts, None, 0
            return ("open", ts, 1), True
        self.unsaid += 1
        self.calm_since = (ts if self.calm_since is None else self.calm_since) if calm else None
        if self.calm_since is not None and ts - self.calm_since >= hold:
            said = ("clear", self.open_since, self.unsaid)
            self.open_since = self.broken_since = None
            return said, True
        if fires and ts - self.said >= TELL_MS:
            said = ("update", self.open_since, self.unsaid)
            self.said, self.unsaid = ts, 0
            return said, True
        return None, True


def within_hours(rule, ts):
    moment = datetime.fromtimestamp(math.floor(ts / 1000), UTC)
    minute = moment.hour * 60 + moment.minute

    def inside(calendar):
        return moment.weekday() in calendar.days and any(low <= minute < high for low, high in calendar.hours)

    during = not rule.during or any(inside(each) for each in rule.during)
    return during and not any(inside(each) for each in rule.except_during)
