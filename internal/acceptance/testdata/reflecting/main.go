// Command reflecting calls methods by name, through text/template.
package main

import (
	"os"
	"text/template"
)

func main() {
	_ = template.Must(template.New("").Parse("{{ .Name }}")).Execute(os.Stdout, os.Stdout)
}
