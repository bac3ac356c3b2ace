"""All that knows a framework's private side, one module for each framework. The others never look inside one."""
