"""What steps read and leave: images, maps, tables, targets, figures; without torch."""
