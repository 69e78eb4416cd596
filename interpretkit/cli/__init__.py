"""Words typed in a shell: commands, progress, answers in text."""
