# SPDX-License-Identifier: GPL-2.0-only
"""What tools/bench says of a run: ratios, tables, plots, and what got worse since the kept one.

Absolute numbers hold for one run on one machine. What counts is a ratio, xdock's value divided by a
rival's of the same round: the median of all rounds, and the range. Where the range includes 1, no
difference was seen, whatever the median says."""

import os
import shutil
import statistics
import subprocess
from typing import NamedTuple

from bench_case import CASES, PUBLISH_LIMIT, TARGETS, TITLES

PARTS = {1: "Small packets", 2: "Bulk TCP", 3: "Round trip", 4: "Connections", 5: "Other ways",
         6: "Publishing", 7: "Who pays", 8: "A flood beside", 9: "What a packet costs a program"}

README_CASES = ("udp-1k", "udp-1m", "bulk-out-1", "bulk-in-1", "bulk-out-8", "bulk-in-8",
                "round-tcp", "round-udp", "connect-1", "connect-1000", "connect-10000",
                "masquerade-connect", "sibling-connect", "hairpin-connect", "local-connect",
                "flood", "publish-1000", "publish-10000")
CPU_CASES = ("udp-1k", "udp-1m", "bulk-out-1", "bulk-in-1", "connect-1", "connect-1000")
PLOT_CASES = ("udp-1k", "udp-1m", "bulk-out-1", "bulk-in-1", "round-tcp", "connect-1",
              "connect-1000", "masquerade-connect", "sibling-connect", "hairpin-connect",
              "local-connect")


class Ratio(NamedTuple):
    """Of xdock to a rival."""

    median: float
    low: float
    high: float

    def __str__(self):
        # A ratio far below 1 is of no use with two digits.
        form = ".2f" if self.low >= 0.1 else ".2g"
        return f"{self.median:{form}} ({self.low:{form}} .. {self.high:{form}})"

    def says(self, is_more):
        """In words; is_more: a larger value is better."""
        if self.low == self.high:
            return "one pair only"
        if self.low <= 1 <= self.high:
            return "no difference seen"
        return "better" if (self.median > 1) == is_more else "worse"


def ratio_of(values, others):
    """values and others: of the same rounds; None where there is no pair of them."""
    pairs = [value / other for value, other in zip(values, others) if value is not None and other]
    if not pairs:
        return None
    return Ratio(statistics.median(pairs), min(pairs), max(pairs))


def verdict(ratio, target, is_more):
    if ratio.median >= target if is_more else ratio.median <= target:
        return "met"
    return "within the spread" if ratio.low <= target <= ratio.high else "missed"


def is_worse(now, before, is_more):
    """By more than both spreads."""
    return now.high < before.low if is_more else now.low > before.high


def values_of(row, key="value"):
    """One for each round; None where it failed."""
    return [sample and sample[key] for sample in row.get("samples", [])]


def known_of(row, key="value"):
    return [value for value in values_of(row, key) if value is not None]


def median_of(row, key="value"):
    return statistics.median(known_of(row, key)) if known_of(row, key) else None


def ratios(result):
    """{rival: Ratio} of a case; it is measured against its first rival."""
    subject, *rivals = result["rivals"]
    values = values_of(result["rivals"][subject])
    found = {rival: ratio_of(values, values_of(result["rivals"][rival])) for rival in rivals}
    return {rival: ratio for rival, ratio in found.items() if ratio}


def number(value):
    """Three digits that count."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def cpu_of(row, unit):
    """(value, its unit)"""
    cpu_ns = median_of(row, "cpu_ns")
    if cpu_ns is None:
        return None, ""
    if unit == "Mpps":
        return cpu_ns, "ns a packet"
    if unit == "Gbit/s":
        return cpu_ns * 1024, "ns a KB"
    return cpu_ns / 1e3, "us each"


def table(head, rows):
    """In Markdown, aligned so that it can be read as it is."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(cells):
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths)) + " |"

    return "\n".join([line(head), "|" + "|".join("-" * (width + 2) for width in widths) + "|",
                      *map(line, rows)])


def describe_loss(row, result, key):
    values = known_of(row, key)
    if not values:
        return ""
    return f"{statistics.median(values):.2%}" if result["number"] == 1 else str(sum(values))


def case_table(result):
    found = ratios(result)
    subject = next(iter(result["rivals"]))
    samples = [sample for row in result["rivals"].values() for sample in row.get("samples", [])
               if sample]
    more = list(dict.fromkeys(name for sample in samples for name in sample["more"]))
    cpu_unit = next((unit for row in result["rivals"].values() for value, unit in
                     [cpu_of(row, result["unit"])] if unit), "")
    head = ["", result["unit"], f"{TITLES[subject]} to it", ""]
    head += ["lost", "reordered", f"CPU, {cpu_unit}"] if cpu_unit else []
    rows = []
    for rival, row in result["rivals"].items():
        if "samples" not in row:
            why = "failed" if "failed" in row else "left out"
            rows.append([TITLES[rival], f"{why}: {row[why]}", *[""] * (len(head) + len(more) - 2)])
            continue
        ratio = found.get(rival)
        words = [ratio.says(result["more"])] if ratio else []
        if row.get("why"):
            words.append(f"{row['samples'].count(None)} rounds failed: {row['why']}")
        cells = [TITLES[rival], number(median_of(row)), ratio or "", "; ".join(words)]
        if cpu_unit:
            cells += [describe_loss(row, result, "lost"), describe_loss(row, result, "reordered"),
                      number(cpu_of(row, result["unit"])[0])]
        for name in more:
            values = [sample["more"][name] for sample in row["samples"]
                      if sample and name in sample["more"]]
            cells.append(number(statistics.median(values)) if values else "")
        rows.append(cells)
    return table(head + more, rows)


def programs_table(rows):
    head = ["program", "packet", "ns", "from .. to", "BPF instructions", "machine instructions",
            "bytes after JIT"]
    return table(head, [
        [row["program"], row["packet"], f"failed: {row['failed']}", "", "", "", ""]
        if "failed" in row else
        [row["program"], row["packet"], number(statistics.median(row["ns"])),
         f"{min(row['ns'])} .. {max(row['ns'])}", row["instructions"],
         row["jited"] or "not counted", row["bytes"]] for row in rows])


def targets_table(results):
    cases, rows = results["cases"], []
    for name, targets in TARGETS.items():
        case = CASES[name]
        for rival, target in targets.items():
            ratio = ratios(cases[name]).get(rival) if name in cases else None
            rows.append([case.title, TITLES[rival], f"{'>=' if case.is_more else '<='} {target}",
                         ratio or "", verdict(ratio, target, case.is_more) if ratio else
                         "not measured"])
    one, many = (ratios(cases[name]).get("veth") if name in cases else None
                 for name in ("connect-1", "connect-10000"))
    if one and many:
        rows.append(["connect, request, close; 10000 mappings as with 1", TITLES["veth"], f"{one}",
                     many, "missed" if is_worse(many, one, True) else "met"])
    took = median_of(cases.get("publish-10000", {}).get("rivals", {}).get("xdock", {}))
    if took:
        rows.append(["publish 10000 ports", "", f"< {PUBLISH_LIMIT} s", f"{took:.3f} s",
                     "met" if took < PUBLISH_LIMIT else "missed"])
    return table(["case", "to", "target", "measured", ""], rows)


def cpu_table(results):
    names = [name for name in CPU_CASES if name in results["cases"]]
    rivals = list(dict.fromkeys(rival for name in names for rival in
                                results["cases"][name]["rivals"]))
    rows = []
    for name in names:
        result = results["cases"][name]
        cells = [cpu_of(result["rivals"].get(rival, {}), result["unit"]) for rival in rivals]
        unit = next((unit for _, unit in cells if unit), "")
        rows.append([result["title"], unit, *(number(value) for value, _ in cells)])
    return table(["case", "CPU", *(TITLES[rival] for rival in rivals)], rows)


def report(results):
    """All of it, in Markdown."""
    run = results["run"]
    lines = [
        "# xdock beside others", "",
        f"{run['rounds']} rounds of {run['seconds']:g} s; in each of them all rivals of a case had "
        "a turn, every second time backwards. A ratio is xdock's value divided by the rival's of "
        "the same round: the median, and in brackets the range. Where the range includes 1, the "
        "table says `no difference seen`. CPU is softirq, interrupt and system time of all CPUs, "
        "as /proc/stat has it. Everything ran in network namespaces of one machine.", "",
        "## Machine", "", table(["", ""], results["machine"].items()), "",
        "## Targets", "", targets_table(results), ""]
    for part, title in PARTS.items():
        cases = [result for result in results["cases"].values() if result["number"] == part]
        if cases:
            lines += [f"## {part}. {title}", ""]
            for result in cases:
                lines += [f"### {result['title'][0].upper()}{result['title'][1:]}", "",
                          case_table(result), ""]
        elif part == 7 and any(name in results["cases"] for name in CPU_CASES):
            lines += [f"## {part}. {title}", "", cpu_table(results), ""]
        elif part == 9 and results.get("programs"):
            lines += [f"## {part}. {title}", "", "Median of single runs by BPF_PROG_TEST_RUN, less "
                      "what an empty program took in turn with it.", "",
                      programs_table(results["programs"]), ""]
    keys = list(dict.fromkeys(key for world in results["worlds"].values() for key in world))
    lines += ["## Settings of each rival's host", "",
              table(["", *keys], [[name, *(world.get(key, "") for key in keys)]
                                  for name, world in results["worlds"].items()]), ""]
    return "\n".join(lines)


def readme_table(results):
    rows = []
    rivals = ("docker", "nft", "proxy", "host")
    ceilings = ("bare-tc", "veth")
    for name in README_CASES:
        result = results["cases"].get(name)
        if not result:
            continue
        row, found = result["rivals"], ratios(result)

        def cell(rival, row=row):
            return number(median_of(row[rival])) if rival in row else ""

        ceiling = next((rival for rival in ceilings if rival in row), "")
        rows.append([f"{result['title']}, {result['unit']}", cell("xdock"), cell(ceiling),
                     *map(cell, rivals), found.get("docker", "")])
    return table(["", "xdock", "ceiling", *(TITLES[rival] for rival in rivals),
                  "xdock to Docker"], rows)


def compare(results, kept):
    """What got worse, as lines."""
    lines = []
    if results["machine"].get("CPU") != kept["machine"].get("CPU"):
        lines.append(f"the kept run is of another machine: {kept['machine'].get('CPU')}")
    for name, result in results["cases"].items():
        before = kept["cases"].get(name)
        if not before:
            continue
        subject = next(iter(result["rivals"]))
        row = result["rivals"][subject]
        if "failed" in row and "samples" in before["rivals"].get(subject, {}):
            lines.append(f"{name}: failed: {row['failed']}")
        old = ratios(before)
        for rival, ratio in ratios(result).items():
            if rival in old and is_worse(ratio, old[rival], result["more"]):
                lines.append(f"{name}: to {TITLES[rival]} {ratio}, kept {old[rival]}")
    old = {(row["program"], row["packet"]): row for row in kept.get("programs", [])}
    for row in results.get("programs", []):
        before = old.get((row["program"], row["packet"]), {})
        if row.get("ns") and before.get("ns") and min(row["ns"]) > max(before["ns"]):
            lines.append(f"{row['program']}, {row['packet']}: {statistics.median(row['ns'])} ns, "
                         f"kept {statistics.median(before['ns'])} ns")
    return lines


# Plots


STYLE = """
set terminal svg size {width},{height} dynamic font 'Helvetica,14' background rgb 'white'
set output '{path}'
set border 3 lc rgb '#606060'
set tics nomirror
set grid ytics lc rgb '#e0e0e0'
"""
COLOURS = {"xdock": "#d1495b", "docker": "#2e86ab", "nft": "#66a182", "host": "#edae49",
           "veth": "#8d8d8d", "bare-tc": "#8d8d8d", "proxy": "#7b5ea7", "generator-tc": "#c8c8c8"}


def plot(text, path, width=800, height=450):
    """False: there is no gnuplot, nothing to plot, or it failed."""
    if not text or not shutil.which("gnuplot"):
        return False
    script = STYLE.format(width=width, height=height, path=path) + text
    done = subprocess.run(["gnuplot"], input=script, text=True, capture_output=True)
    if done.returncode:
        print(f"gnuplot: {os.path.basename(path)}: {done.stderr.strip()}")
        return False
    # It may be kept in the tree, where no line ends with a space.
    with open(path) as file:
        lines = [line.rstrip() for line in file]
    with open(path, "w") as file:
        file.write("\n".join([*lines, ""]))
    return True


def quoted(text):
    """As gnuplot reads it."""
    return "'" + text.replace("'", "''") + "'"


def lines_plot(results, cases, xs, rivals, title, xlabel, ylabel):
    """cases: by x; a line for each rival, with the range of its rounds."""
    blocks, curves = [], []
    for rival in rivals:
        points = []
        for name, x in zip(cases, xs):
            row = results["cases"].get(name, {}).get("rivals", {}).get(rival, {})
            if row.get("samples"):
                values = known_of(row)
                points.append(f"{x} {statistics.median(values)} {min(values)} {max(values)}")
        if points:
            name, colour = f"$d{len(blocks)}", COLOURS[rival]
            blocks.append("\n".join([f"{name} << EOD", *points, "EOD"]))
            curves.append(f"{name} using 1:2:3:4 with yerrorlines lw 2.5 pt 7 ps 0.7 "
                          f"lc rgb '{colour}' title {quoted(TITLES[rival])}")
    if not curves:
        return ""
    return "\n".join([*blocks, f"set title {quoted(title)}", f"set xlabel {quoted(xlabel)}",
                      f"set ylabel {quoted(ylabel)}", "set logscale x", "set yrange [0:*]",
                      "set format x '%.0s %c'", "set key outside right top",
                      f"set xrange [{min(xs) * 0.7}:{max(xs) * 1.5}]",
                      "plot " + ", ".join(curves)])


def bars_plot(results):
    """xdock against Docker, one bar a case."""
    rows = []
    for name in PLOT_CASES:
        result = results["cases"].get(name)
        ratio = ratios(result).get("docker") if result else None
        if ratio:
            values = ratio if result["more"] else Ratio(1 / ratio.median, 1 / ratio.high,
                                                        1 / ratio.low)
            rows.append((result["title"], values))
    if not rows:
        return ""
    rows.reverse()
    data = "\n".join(f"{i} {ratio.median} {ratio.low} {ratio.high}"
                     for i, (_, ratio) in enumerate(rows))
    labels = ", ".join(f"{quoted(title)} {i}" for i, (title, _) in enumerate(rows))
    return "\n".join([
        f"$d << EOD\n{data}\nEOD", "set title 'xdock, as a multiple of Docker (1: the same)'",
        "set logscale x 2", "unset grid", "set grid xtics lc rgb '#e0e0e0'",
        f"set yrange [-0.6:{len(rows) - 0.4}]", f"set ytics ({labels})",
        f"set xrange [{min(0.5, *(r.low * 0.9 for _, r in rows))}:*]",
        "set arrow from 1, graph 0 to 1, graph 1 nohead lc rgb '#404040' lw 1.5",
        "set style fill solid 0.85 noborder",
        f"plot $d using (($2+1)/2):1:(abs($2-1)/2):(0.32) with boxxyerror lc rgb "
        f"'{COLOURS['xdock']}' notitle, $d using 2:1:3:4 with xerrorbars pt 7 ps 0.4 lw 1.5 "
        "lc rgb '#404040' notitle"])


def plots(results, directory):
    """Names of the plots that were made."""
    flows = ("udp-1", "udp-1k", "udp-64k", "udp-1m")
    mappings = ("connect-1", "connect-100", "connect-1000", "connect-10000")
    texts = {
        "flows.svg": lines_plot(
            results, flows, (1, 1 << 10, 1 << 16, 1 << 20),
            ("generator-tc", "bare-tc", "xdock", "nft", "docker"),
            "60-byte UDP packets to a published port, one core", "flows",
            "million packets per second"),
        "mappings.svg": lines_plot(
            results, mappings, (1, 100, 1000, 10000), ("veth", "host", "xdock", "nft", "docker"),
            "connect, request, answer, close", "published ports", "connections per second"),
        "docker.svg": bars_plot(results)}
    return [name for name, text in texts.items() if plot(text, os.path.join(directory, name))]
