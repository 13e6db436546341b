"""Key image pages: what a viewer without SEG shows of the findings, drawn as RGB pictures of 1024 x 1024."""
