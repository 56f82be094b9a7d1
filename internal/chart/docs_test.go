package chart

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

var _ = Describe("The runbook", func() {
	It("has the reasons that the code has, and no others", func() {
		Expect(headings(section(readFile("docs/runbook.md"), "## Reasons"), "#### ")).To(ConsistOf(reasons()))
	})

	It("has the alerts that the chart has, where they link to", func(ctx SpecContext) {
		rendered := render(ctx, monitored)
		alerts := strings.Fields(rendered.field(rules, ".spec.groups[*].rules[*].alert"))
		Expect(headings(section(readFile("docs/runbook.md"), "## Alerts"), "### ")).To(ConsistOf(alerts))
		for i, link := range strings.Fields(rendered.field(rules, ".spec.groups[*].rules[*].annotations.runbook_url")) {
			Expect(link).To(HaveSuffix("/docs/runbook.md#" + strings.ToLower(alerts[i])))
		}
	})

	It("has every default of the alerts in docs/metrics.md", func(ctx SpecContext) {
		rendered := render(ctx, monitored)
		fields := func(name string) []string {
			return strings.Fields(rendered.field(rules, ".spec.groups[*].rules[*]."+name))
		}
		waits, severities := fields("for"), fields("labels.severity")
		var rows []string
		for line := range strings.Lines(section(readFile("docs/metrics.md"), "## Alerts")) {
			if cells := strings.Split(line, " | "); strings.HasPrefix(line, "| Seam") {
				wait, _, _ := strings.Cut(cells[2], " ")
				rows = append(rows, strings.TrimPrefix(cells[0], "| ")+" "+wait+" "+cells[3])
			}
		}
		var want []string
		for i, alert := range fields("alert") {
			want = append(want, alert+" "+waits[i]+" "+severities[i])
		}
		Expect(rows).To(ConsistOf(want))
		expressions := rendered.field(rules, ".spec.groups[*].rules[*].expr")
		for _, threshold := range []string{"< 600", "> 0.5", "[1h])) > 4", "> 300"} { // as the table has them in words
			Expect(expressions).To(ContainSubstring(threshold))
		}
	})

	It("links to nothing that is not there", func() {
		for file, text := range documents("README.md", "docs/*.md", "docs/decisions/*.md", "config/chart/README.md") {
			for _, link := range regexp.MustCompile(`\]\(([^):#\s]*)(?:#([a-z0-9-]+))?\)`).FindAllStringSubmatch(text, -1) {
				target := file
				if link[1] != "" {
					target = filepath.Join(filepath.Dir(file), link[1])
				}
				Expect(filepath.Join(root, target)).To(BeAnExistingFile(), "%s: %s", file, link[0])
				if link[2] != "" {
					Expect(anchors(readFile(target))).To(ContainElement(link[2]), "%s: %s", file, link[0])
				}
			}
		}
	})
})

// documents are the texts of the files that some patterns find, by their paths from the root.
func documents(patterns ...string) map[string]string {
	GinkgoHelper()
	texts := map[string]string{}
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		Expect(err).NotTo(HaveOccurred())
		Expect(files).NotTo(BeEmpty(), pattern)
		for _, file := range files {
			path, err := filepath.Rel(root, file)
			Expect(err).NotTo(HaveOccurred())
			texts[path] = readFile(path)
		}
	}
	return texts
}

// anchors are what a link can name in a document: one for each heading.
func anchors(document string) []string {
	var names []string
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(document, -1) {
		name := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}

// rules is the chart's object with the alerts.
const rules = "PrometheusRule/seam-session-operator"

// section is a part of a document: from a heading to the next of its level.
func section(document, heading string) string {
	GinkgoHelper()
	_, after, found := strings.Cut(document, "\n"+heading+"\n")
	Expect(found).To(BeTrue(), heading)
	level, _, _ := strings.Cut(heading, " ")
	part, _, _ := strings.Cut(after, "\n"+level+" ")
	return part
}

// headings are those of one level.
func headings(document, level string) []string {
	var all []string
	for line := range strings.Lines("\n" + document) {
		if heading, ok := strings.CutPrefix(line, level); ok {
			all = append(all, strings.TrimSpace(heading))
		}
	}
	return all
}

// reasons are the values of the constants that name reasons of conditions.
func reasons() []string {
	GinkgoHelper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "api/v1alpha1/conditions.go"), nil, 0)
	Expect(err).NotTo(HaveOccurred())
	var all []string
	ast.Inspect(file, func(node ast.Node) bool {
		if spec, ok := node.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "Reason") {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			Expect(err).NotTo(HaveOccurred())
			all = append(all, value)
		}
		return true
	})
	Expect(len(all)).To(BeNumerically(">", 15))
	return all
}

// expectDocumented compares what was scraped with docs/metrics.md: the operator's own metrics in every word, the others by name
// and labels.
func expectDocumented(scraped string) {
	GinkgoHelper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(scraped))
	Expect(err).NotTo(HaveOccurred())
	document := readFile("docs/metrics.md")

	var own []string
	for name, family := range families {
		if strings.HasPrefix(name, "seam_") {
			labels := labelsOf(family)
			for i := range labels {
				labels[i] = "`" + labels[i] + "`"
			}
			own = append(own, "| `"+name+"` | "+strings.ToLower(family.GetType().String())+" | "+
				strings.TrimLeft(strings.Join(labels, ", ")+" | ", " ")+family.GetHelp()+" |")
		}
	}
	var rows []string
	for line := range strings.Lines(section(document, "## The operator's own")) {
		if strings.HasPrefix(line, "| `") {
			rows = append(rows, strings.TrimSpace(line))
		}
	}
	Expect(rows).To(ConsistOf(own))

	others := regexp.MustCompile("(?m)^\\| `([a-z_]+)\\{([a-z,]+)\\}` \\|").FindAllStringSubmatch(section(document, "## From controller-runtime and client-go"), -1)
	Expect(others).NotTo(BeEmpty())
	for _, row := range others {
		Expect(families).To(HaveKey(row[1]))
		Expect(labelsOf(families[row[1]])).To(ContainElements(strings.Split(row[2], ",")), row[1])
	}
}

// labelsOf are the names of a metric's labels.
func labelsOf(family *dto.MetricFamily) []string {
	var labels []string
	for _, metric := range family.GetMetric() {
		for _, label := range metric.GetLabel() {
			labels = append(labels, label.GetName())
		}
	}
	slices.Sort(labels)
	return slices.Compact(labels)
}
