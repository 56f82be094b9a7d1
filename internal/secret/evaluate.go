package secret

import (
	"fmt"
	"strings"
	"text/template/parse"
)

// evaluation renders one template that the checker has passed, as text/template would, which is what a test compares it
// with. text/template itself calls methods by their name: a linker that sees this keeps every method of every type, which
// made the operator's memory a sixth larger. What templates may use takes no reflection.
type evaluation struct {
	fields map[string]any
	out    bounded
}

// node renders what stands among the text. Dot is the value of the innermost with.
func (e *evaluation) node(node parse.Node, dot any) error {
	switch node := node.(type) {
	case *parse.TextNode:
		_, err := e.out.Write(node.Text)
		return err
	case *parse.ListNode:
		if node == nil {
			return nil
		}
		for _, child := range node.Nodes {
			if err := e.node(child, dot); err != nil {
				return err
			}
		}
		return nil
	case *parse.ActionNode:
		value, err := e.pipe(node.Pipe, dot)
		if err != nil {
			return err
		}
		_, err = e.out.Write([]byte(text(value)))
		return err
	case *parse.IfNode:
		return e.branch(&node.BranchNode, dot, func(any) any { return dot })
	case *parse.WithNode:
		return e.branch(&node.BranchNode, dot, func(value any) any { return value })
	}
	return nil
}

// branch renders the list of an if or a with, whose dot follows from the value, or the list of its else.
func (e *evaluation) branch(node *parse.BranchNode, dot any, inside func(value any) any) error {
	value, err := e.pipe(node.Pipe, dot)
	switch {
	case err != nil:
		return err
	case truth(value):
		return e.node(node.List, inside(value))
	}
	return e.node(node.ElseList, dot)
}

// pipe is the value of a pipeline: each command's is the last argument of the one after it.
func (e *evaluation) pipe(pipe *parse.PipeNode, dot any) (value any, err error) {
	for i, command := range pipe.Cmds {
		function, ok := command.Args[0].(*parse.IdentifierNode)
		if !ok {
			value, err = e.value(command.Args[0], dot)
		} else {
			var piped []any
			if i > 0 {
				piped = []any{value}
			}
			value, err = e.call(function.Ident, command.Args[1:], piped, dot)
		}
		if err != nil {
			return nil, err
		}
	}
	return value, nil
}

// call is the value of a function. and and or evaluate no more arguments than they need.
func (e *evaluation) call(name string, nodes []parse.Node, piped []any, dot any) (any, error) {
	var args []any
	for _, node := range nodes {
		arg, err := e.value(node, dot)
		if err != nil || name == "and" && !truth(arg) || name == "or" && truth(arg) {
			return arg, err
		}
		args = append(args, arg)
	}
	args = append(args, piped...)
	switch name {
	case "toJson":
		return toJSON(args[0])
	case "b64enc":
		return b64enc(args[0])
	case "eq":
		return eq(args[0], args[1:]...), nil
	case "not":
		return !truth(args[0]), nil
	}
	return args[len(args)-1], nil // of and, or
}

// value is what a field, a literal, the dot or a pipeline in parentheses stands for.
func (e *evaluation) value(node parse.Node, dot any) (any, error) {
	switch node := node.(type) {
	case *parse.FieldNode:
		return e.fields[node.Ident[0]], nil
	case *parse.DotNode:
		return dot, nil
	case *parse.StringNode:
		return node.Text, nil
	case *parse.BoolNode:
		return node.True, nil
	case *parse.NumberNode:
		return number(node), nil
	case *parse.PipeNode:
		return e.pipe(node, dot)
	}
	return nil, fmt.Errorf("%s was not refused", construct(node))
}

// number is a fraction if it is written as one, and else whole, as hexadecimal digits and characters are.
func number(node *parse.NumberNode) any {
	hexadecimal := strings.HasPrefix(strings.ToLower(node.Text), "0x") && !strings.ContainsAny(node.Text, "pP")
	if !hexadecimal && node.Text[0] != '\'' && strings.ContainsAny(node.Text, ".eEpP") {
		return node.Float64
	}
	return int(node.Int64)
}

// truth is what if, with, and, or and not take a value for: nothing, zero and false are false.
func truth(value any) bool {
	switch value := value.(type) {
	case bool:
		return value
	case int:
		return value != 0
	case int32:
		return value != 0
	case float64:
		return value != 0
	}
	return text(value) != ""
}
