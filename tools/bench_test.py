# SPDX-License-Identifier: GPL-2.0-only
"""The statistics of tools/bench, on numbers whose result is known: `tools/bench --self-test`."""

import traceback

import bench_report as report
from bench_case import checksum, make_frame


def result(values, others, is_more=True):
    def row(numbers):
        return {"samples": [{"value": n, "lost": 0, "reordered": 0, "cpu_ns": n, "more": {}}
                            for n in numbers]}
    return {"number": 4, "title": "a case", "unit": "1/s", "more": is_more,
            "rivals": {"xdock": row(values), "docker": row(others)}}


def run_of(values, others):
    return {"machine": {"CPU": "one"}, "cases": {"case": result(values, others)}, "programs": []}


def expect(actual, expected):
    if actual != expected:
        raise AssertionError(f"{actual!r}, expected {expected!r}")


def test_ratio_is_the_median_of_pairs_not_a_ratio_of_medians():
    expect(report.ratio_of([10, 30, 20], [10, 10, 20]), (1, 1, 3))


def test_round_without_a_pair_does_not_count():
    expect(report.ratio_of([10, 30], [5]), (2, 2, 2))
    expect(report.ratio_of([10, None, 40], [None, 5, 10]), (4, 4, 4))
    expect(report.ratio_of([10], [None]), None)


def test_range_with_one_in_it_is_no_difference():
    expect(report.Ratio(1.3, 0.9, 1.5).says(True), "no difference seen")
    expect(report.Ratio(1.3, 1.3, 1.3).says(True), "one pair only")
    expect(report.Ratio(1.3, 1.1, 1.5).says(True), "better")
    expect(report.Ratio(1.3, 1.1, 1.5).says(False), "worse")
    expect(report.Ratio(0.8, 0.7, 0.9).says(False), "better")


def test_target_of_time_is_met_from_below():
    ratio = report.Ratio(1.04, 1, 1.1)
    expect(report.verdict(ratio, 1.05, False), "met")
    expect(report.verdict(ratio, 1.05, True), "within the spread")
    expect(report.verdict(ratio, 1.2, True), "missed")


def test_worse_only_by_more_than_both_spreads():
    kept = run_of([20, 22, 24], [10, 10, 10])
    expect(report.compare(run_of([18, 20, 22], [10, 10, 10]), kept), [])
    expect(report.compare(run_of([15, 16, 19], [10, 10, 10]), kept),
           ["case: to Docker 1.60 (1.50 .. 1.90), kept 2.20 (2.00 .. 2.40)"])
    expect(report.compare(run_of([30, 30, 30], [10, 10, 10]), kept), [])


def test_case_that_failed_since_is_worse():
    now = run_of([20], [10])
    now["cases"]["case"]["rivals"]["xdock"] = {"failed": "no answer came"}
    expect(report.compare(now, run_of([20], [10])), ["case: failed: no answer came"])


def test_failed_and_left_out_are_shown():
    broken = result([20], [10])
    broken["rivals"]["docker"] = {"failed": "no answer came"}
    broken["rivals"]["nft"] = {"left out": "no nft here"}
    broken["rivals"]["host"] = {**result([None], [])["rivals"]["xdock"], "why": "too late"}
    broken["rivals"]["host"]["samples"].append(None)
    text = report.case_table(broken)
    for words in ("failed: no answer came", "left out: no nft here", "1 rounds failed: too late"):
        if words not in text:
            raise AssertionError(f"{words!r} is not in the table")


def test_numbers_have_three_digits_that_count():
    expect([report.number(value) for value in (None, 0, 12345.6, 123.4, 12.34, 1.234, 0.1234)],
           ["", "0", "12 346", "123", "12.3", "1.23", "0.123"])
    expect(str(report.Ratio(0.0123, 0.0111, 0.0234)), "0.012 (0.011 .. 0.023)")


def test_frame_has_right_checksums():
    frame = bytes.fromhex(make_frame("02:00:00:00:00:01", "02:00:00:00:00:02", "192.0.2.1",
                                     "198.51.100.1", 1000, 9))
    expect(len(frame), 60)
    expect(checksum(frame[14:34]), 0)
    expect(checksum(frame[26:34] + b"\x00\x11" + frame[38:40] + frame[34:]), 0)


def main():
    passed = failed = 0
    for name, test in globals().copy().items():
        if name.startswith("test_"):
            try:
                test()
                passed += 1
            except Exception:
                failed += 1
                print(f"FAIL {name[5:]}\n{traceback.format_exc()}")
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed or not passed else 0
