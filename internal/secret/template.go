package secret

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

// TemplateError says what is wrong with a template. It is safe to show: of the template it holds only names and
// positions, bounded, and of the values nothing.
type TemplateError struct {
	// Key of the Secret that the template is for; empty if the problem is that of all together.
	Key string
	// Problem and what to write instead.
	Problem string
}

// Error implements error.
func (e *TemplateError) Error() string {
	if e.Key == "" {
		return e.Problem
	}
	return fmt.Sprintf("template of key %s: %s", quote(e.Key), e.Problem)
}

const (
	allowedSyntax    = "use only fields, literals, parentheses, if, with, and the functions " + allowedFunctions
	allowedFunctions = "toJson, b64enc, eq, and, or, not"
	insideWith       = "inside with, use . for the value; for a field, use if instead of with"
)

// arities are the least and the most arguments of each function that is allowed, a value that is piped in included.
// Literals do not make a template large, so there is no need for a bound on the number of arguments.
var arities = map[string]struct{ least, most int }{
	"toJson": {1, 1},
	"b64enc": {1, 1},
	"eq":     {2, maxTemplateSize},
	"and":    {1, maxTemplateSize},
	"or":     {1, maxTemplateSize},
	"not":    {1, 1},
}

// CheckTemplates returns a *TemplateError for the first template, in the order of the keys, that does not parse, uses
// more of text/template than is allowed, or names a field that does not exist. What passes can only fail to render by
// its size: everything that text/template checks in executing, but for that, is checked here.
func CheckTemplates(templates map[string]v1alpha1.Template) error {
	for _, key := range slices.Sorted(maps.Keys(templates)) {
		if _, err := compile(key, string(templates[key])); err != nil {
			return err
		}
	}
	return nil
}

// compile parses and checks a template.
func compile(key, text string) (*parse.Tree, error) {
	if len(text) > maxTemplateSize {
		return nil, &TemplateError{key, fmt.Sprintf("is %d bytes long: at most %d are allowed", len(text), maxTemplateSize)}
	}
	// The check of functions is ours: it names those that are allowed.
	tree := parse.New(treeName)
	tree.Mode = parse.SkipFuncCheck
	trees := map[string]*parse.Tree{}
	if _, err := tree.Parse(text, "", "", trees); err != nil {
		return nil, &TemplateError{key, parseProblem(err)}
	}
	if len(trees) > 1 || trees[treeName] != tree {
		return nil, &TemplateError{key, "define is not allowed: " + allowedSyntax}
	}
	if err := (checker{}).node(tree.Root); err != nil {
		return nil, &TemplateError{key, err.Error()}
	}
	return tree, nil
}

// checker walks the parse tree of a template.
type checker struct {
	// inWith: the dot is a value, not all fields.
	inWith bool
}

// node checks what stands among the text.
func (c checker) node(node parse.Node) error {
	switch node := node.(type) {
	case nil, *parse.TextNode:
		return nil
	case *parse.ListNode:
		if node == nil {
			return nil
		}
		for _, child := range node.Nodes {
			if err := c.node(child); err != nil {
				return err
			}
		}
		return nil
	case *parse.ActionNode:
		return c.pipe(node.Pipe)
	case *parse.IfNode:
		return cmp.Or(c.pipe(node.Pipe), c.node(node.List), c.node(node.ElseList))
	case *parse.WithNode:
		return cmp.Or(c.pipe(node.Pipe), checker{inWith: true}.node(node.List), c.node(node.ElseList))
	}
	return fmt.Errorf("%s is not allowed: %s", construct(node), allowedSyntax)
}

// pipe checks a pipeline: a value, or a call, whose result is the last argument of the call after it.
func (c checker) pipe(pipe *parse.PipeNode) error {
	if len(pipe.Decl) > 0 {
		return fmt.Errorf("variables such as %s are not allowed: %s", quote(pipe.Decl[0].Ident[0]), allowedSyntax)
	}
	for stage, command := range pipe.Cmds {
		piped := min(stage, 1)
		if name, ok := command.Args[0].(*parse.IdentifierNode); ok {
			if err := c.call(name.Ident, command.Args[1:], piped); err != nil {
				return err
			}
			continue
		}
		if err := c.value(command.Args[0]); err != nil {
			return err
		}
		if piped > 0 || len(command.Args) > 1 {
			return errors.New("only a function takes arguments or what is piped to it: use " + allowedFunctions)
		}
	}
	return nil
}

// call checks a function and its arguments.
func (c checker) call(name string, args []parse.Node, piped int) error {
	arity, ok := arities[name]
	if !ok {
		return fmt.Errorf("function %s is not allowed: use %s", quote(name), allowedFunctions)
	}
	if n := len(args) + piped; n < arity.least || n > arity.most {
		return fmt.Errorf("function %s takes %s: it is given %d", name, arguments(arity.least, arity.most), n)
	}
	for _, arg := range args {
		if err := c.value(arg); err != nil {
			return err
		}
	}
	return nil
}

// value checks what stands for a value.
func (c checker) value(node parse.Node) error {
	switch node := node.(type) {
	case *parse.StringNode, *parse.BoolNode:
		return nil
	case *parse.NumberNode:
		return checkNumber(node)
	case *parse.PipeNode:
		return c.pipe(node)
	case *parse.FieldNode:
		return c.field(node)
	case *parse.DotNode:
		if !c.inWith {
			return errors.New(". alone is allowed only inside with: name a field, " + allowedFields)
		}
		return nil
	case *parse.IdentifierNode:
		if _, ok := arities[node.Ident]; ok {
			return fmt.Errorf("function %s as an argument must stand in parentheses, with its own arguments", node.Ident)
		}
		return fmt.Errorf("function %s is not allowed: use %s", quote(node.Ident), allowedFunctions)
	}
	return fmt.Errorf("%s is not allowed: %s", construct(node), allowedSyntax)
}

func (c checker) field(node *parse.FieldNode) error {
	name := quote("." + strings.Join(node.Ident, "."))
	switch {
	case len(node.Ident) > 1:
		return fmt.Errorf("field %s does not exist, fields have no fields: use one of %s", name, allowedFields)
	case !slices.Contains(fieldNames, node.Ident[0]):
		return fmt.Errorf("field %s does not exist: use one of %s", name, allowedFields)
	case c.inWith:
		return fmt.Errorf("field %s is not allowed there: %s", name, insideWith)
	}
	return nil
}

// checkNumber refuses what text/template or JSON have no value for: a complex number, and a whole one over 64 bits.
func checkNumber(node *parse.NumberNode) error {
	if node.IsComplex || !node.IsInt && node.IsUint {
		return errors.New("a number is complex or too large: use a whole number of 64 bits or a decimal fraction")
	}
	return nil
}

// construct names what a node is, as users write it.
func construct(node parse.Node) string {
	switch node := node.(type) {
	case *parse.RangeNode:
		return "range"
	case *parse.TemplateNode:
		return "template or block"
	case *parse.VariableNode:
		return "variable " + quote(node.Ident[0])
	case *parse.ChainNode:
		return "a field of an expression"
	case *parse.NilNode:
		return "nil"
	}
	return "this"
}

func arguments(least, most int) string {
	switch {
	case least == 1 && most == 1:
		return "one argument"
	case least == most:
		return fmt.Sprintf("%d arguments", least)
	case least == 1:
		return "at least one argument"
	}
	return fmt.Sprintf("at least %d arguments", least)
}

// treeName is what text/template's parser puts before the number of the line.
const treeName = "line"

var (
	// quoted is what the parser shows of a template, but for node names such as {{end}}.
	quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"(?:\.\.\.)?|'(?:[^'\\]|\\.)*'`)
	// shown of that are fields, variables and punctuation. The rest may be literals, and those may be secret.
	shown = regexp.MustCompile(`^"(?:[.$][A-Za-z_][A-Za-z0-9_.]*|[^A-Za-z0-9"'` + "`" + `]{1,3})"(?:\.\.\.)?$`)
)

// parseProblem is the message of text/template's parser without what could be a literal of the template.
func parseProblem(err error) string {
	message := strings.TrimPrefix(err.Error(), "template: ")
	message = quoted.ReplaceAllStringFunc(message, func(s string) string {
		if shown.MatchString(s) {
			return s
		}
		return "a literal"
	})
	return shorten(strings.Replace(message, treeName+":", treeName+" ", 1), 200)
}

// quote makes the text of a template fit to be shown.
func quote(s string) string { return strconv.QuoteToASCII(shorten(s, 64)) }

// shorten cuts s to at most n bytes and a mark that it was cut.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}
