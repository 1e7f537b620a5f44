"""How numbers are written in each language, where Django has it otherwise: all of the page's digits are Latin ones."""
